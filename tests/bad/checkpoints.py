"""Makers of bad checkpoints: each takes a folder with a copy of a sound one (two shards and more) and spoils one thing."""

from __future__ import annotations

import io
import json
import os
import pickle
import struct
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

INDEX = "model.safetensors.index.json"
SHARD = r"model-\d{5}-of-\d{5}\.safetensors"
Maker = Callable[[Path], None]


@dataclass(frozen=True)
class Fault:
    """One thing that is wrong.

    Attributes:
        title: as docs/reliability.md calls it.
        maker: spoils a folder.
        says: expression for what `edgeconv openvino` must say.
        gguf: the same for `edgeconv gguf`, which finds some of them elsewhere.
        onnx: the same for `edgeconv onnx`.
        names: expression for the file that message or hint must name.
    """

    title: str
    maker: Maker
    says: str
    gguf: str
    onnx: str
    names: str


FAULTS: dict[str, Fault] = {}
"""By the names of their makers."""


def fault(title: str, says: str, names: str = "", gguf: str = "", onnx: str = "") -> Callable[[Maker], Maker]:
    def register(maker: Maker) -> Maker:
        FAULTS[maker.__name__] = Fault(f"checkpoint: {title}", maker, says, gguf or says, onnx or says, names)
        return maker

    return register


def shards(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.safetensors"))


def edit(path: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def rewrite_header(path: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    data = path.read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + length])
    change(header)
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data[8 + length :])


@fault("a shard of the index is not there", "shards are missing", SHARD)
def shard_missing(folder: Path) -> None:
    shards(folder)[0].unlink()


@fault("a shard that the index does not know", "does not know the shard", r"model-00099-of-00099\.safetensors")
def shard_in_no_index(folder: Path) -> None:
    first = shards(folder)[0]
    (folder / "model-00099-of-00099.safetensors").write_bytes(first.read_bytes())


@fault("the index names ../ as a shard", "names a shard that cannot be one", INDEX)
def index_leaves_the_folder(folder: Path) -> None:
    edit(folder / INDEX, lambda c: c["weight_map"].update({"model.norm.weight": "../model-00001-of-00002.safetensors"}))


@fault("the index names an absolute path as a shard", "names a shard that cannot be one", INDEX)
def index_with_absolute_path(folder: Path) -> None:
    edit(folder / INDEX, lambda c: c["weight_map"].update({"model.norm.weight": "/etc/passwd.safetensors"}))


@fault("the index names a shard with a backslash", "names a shard that cannot be one", INDEX)
def index_with_backslash(folder: Path) -> None:
    edit(folder / INDEX, lambda c: c["weight_map"].update({"model.norm.weight": "..\\model.safetensors"}))


@fault("the index is not JSON", "is not valid JSON", INDEX)
def index_is_not_json(folder: Path) -> None:
    (folder / INDEX).write_text("{")


@fault("the index has no map", "has no weight_map", INDEX)
def index_without_map(folder: Path) -> None:
    (folder / INDEX).write_text('{"weight_map": []}')


@fault("a tensor of the index is in no shard", "which does not hold it", INDEX)
def index_promises_more(folder: Path) -> None:
    edit(folder / INDEX, lambda c: c["weight_map"].update({"extra.weight": shards(folder)[0].name}))


@fault("a truncated shard", "truncated", SHARD)
def shard_truncated(folder: Path) -> None:
    path = shards(folder)[0]
    path.write_bytes(path.read_bytes()[:-100])


@fault("bytes behind the last tensor of a shard", "bytes after its last tensor", SHARD)
def shard_with_trailing_bytes(folder: Path) -> None:
    path = shards(folder)[0]
    path.write_bytes(path.read_bytes() + b"x")


@fault("a tensor twice in a header", "a name appears twice", SHARD)
def header_with_duplicate_key(folder: Path) -> None:
    path = shards(folder)[0]
    data = path.read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    header = data[8 : 8 + length].rstrip()
    name, entry = next(i for i in json.loads(header).items() if i[0] != "__metadata__")
    text = header[:-1] + b"," + json.dumps({name: entry}).encode()[1:]
    path.write_bytes(struct.pack("<Q", len(text)) + text + data[8 + length :])


@fault("a header of 2^63 bytes", "the header claims", SHARD)
def header_of_2_to_the_63(folder: Path) -> None:
    path = shards(folder)[0]
    path.write_bytes(struct.pack("<Q", 2**63) + path.read_bytes()[8:])


@fault("a shape that does not fit its bytes", "shape and offsets", SHARD)
def header_with_another_shape(folder: Path) -> None:
    rewrite_header(shards(folder)[0], lambda h: next(v for k, v in h.items() if k != "__metadata__")["shape"].append(3))


@fault("a Git-LFS pointer in a shard's place", "Git-LFS pointer|header claims", SHARD)
def shard_is_a_git_lfs_pointer(folder: Path) -> None:
    shards(folder)[0].write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 5\n")


@fault("a web page in a shard's place", "header claims", SHARD)
def shard_is_a_web_page(folder: Path) -> None:
    shards(folder)[0].write_text("<!DOCTYPE html><html>404</html>")


@fault("an empty shard", "is too short", SHARD)
def shard_is_empty(folder: Path) -> None:
    shards(folder)[0].write_bytes(b"")


@fault("no weights", "no safetensors files", "model")
def no_weights(folder: Path) -> None:
    for path in [*shards(folder), folder / INDEX]:
        path.unlink()


@fault("nothing but a bare pickle", "not a whole file of torch.save", r"pytorch_model\.bin")
def only_a_bare_pickle(folder: Path) -> None:
    no_weights(folder)
    (folder / "pytorch_model.bin").write_bytes(b"\x80\x04.")


@fault("weights of another tool", "unknown layout", r"weights\.pth")
def only_weights_of_another_tool(folder: Path) -> None:
    no_weights(folder)
    (folder / "weights.pth").write_bytes(b"\x80\x04.")


@fault("a pickle that runs a program", "the global posix.system", r"pytorch_model\.bin")
def pickle_that_runs_a_program(folder: Path) -> None:
    no_weights(folder)
    with zipfile.ZipFile(folder / "pytorch_model.bin", "w") as archive:
        archive.writestr("archive/data.pkl", b"cposix\nsystem\n(S'touch ran'\ntR.")


@fault("no tensors in the weights", "hold no tensors", "model")
def zero_tensors(folder: Path) -> None:
    no_weights(folder)
    text = b"{}"
    (folder / "model.safetensors").write_bytes(struct.pack("<Q", len(text)) + text)


@fault("no config.json", "has no config.json", r"config\.json")
def no_config(folder: Path) -> None:
    (folder / "config.json").unlink()


@fault("config.json nested 100,000 deep", "not valid JSON", r"config\.json")
def config_nested_without_end(folder: Path) -> None:
    (folder / "config.json").write_text("[" * 100_000)


@fault("config.json is a list", "does not hold a JSON object", r"config\.json")
def config_is_a_list(folder: Path) -> None:
    (folder / "config.json").write_text("[]")


@fault("config.json without model_type", "does not name a model_type", r"config\.json")
def config_without_model_type(folder: Path) -> None:
    edit(folder / "config.json", lambda c: c.pop("model_type"))


@fault(
    "an unknown model_type",
    "No engine can convert model_type 'nonesuch'",
    "nonesuch",
    gguf=r"cannot be written for model_type nonesuch",
    onnx="cannot be written as ONNX.*nonesuch",
)
def unknown_model_type(folder: Path) -> None:
    edit(folder / "config.json", lambda c: c.update(model_type="nonesuch"))


@fault(
    "code of its own for its architecture",
    "which is not run",
    r"evil\.py|nonesuch",
    gguf=r"cannot be written for model_type nonesuch",
    onnx="cannot be written as ONNX.*nonesuch",
)
def custom_code_without_consent(folder: Path) -> None:
    edit(folder / "config.json", lambda c: c.update(model_type="nonesuch", auto_map={"AutoConfig": "evil.Config"}))
    (folder / "evil.py").write_text("open('/tmp/edgeconv-was-here', 'w')")


@fault("vocab_size is not the embedding's", r"by config\.json it should be", SHARD)
def vocabulary_of_another_size(folder: Path) -> None:
    edit(folder / "config.json", lambda c: c.update(vocab_size=c["vocab_size"] + 8))


@fault("fewer layers than config.json says", "has no tensor model.layers.2", r"config\.json")
def more_layers_than_weights(folder: Path) -> None:
    edit(folder / "config.json", lambda c: c.update(num_hidden_layers=3))


@fault("more layers than config.json says", "have no place in a", r"config\.json")
def fewer_layers_than_weights(folder: Path) -> None:
    edit(folder / "config.json", lambda c: c.update(num_hidden_layers=1))


@fault("a text for a number in config.json", "hidden_size is '64'", r"config\.json")
def config_with_text_for_a_number(folder: Path) -> None:
    edit(folder / "config.json", lambda c: c.update(hidden_size="64"))


@fault("no tokenizer", "has no tokenizer", r"tokenizer\.json", gguf=r"has neither tokenizer.json nor tokenizer.model")
def no_tokenizer(folder: Path) -> None:
    for path in folder.glob("tokenizer*"):
        path.unlink()


@fault(
    "a damaged tokenizer",
    "tokenizer.json holds no tokenizer",
    r"tokenizer\.json",
)
def corrupt_tokenizer(folder: Path) -> None:
    (folder / "tokenizer.json").write_text("{}")


@fault(
    "more tokens than rows of the embedding",
    r"has a token 4083, .* only 4000 rows",
    "token",
)
def tokenizer_larger_than_the_vocabulary(folder: Path) -> None:
    from safetensors.torch import load_file, save_file

    edit(folder / "config.json", lambda c: c.update(vocab_size=4000))
    for path in shards(folder):
        tensors = load_file(path)
        for name in {"model.embed_tokens.weight", "lm_head.weight"} & set(tensors):
            tensors[name] = tensors[name][:4000].clone()
        save_file(tensors, path)


def _with_value(folder: Path, bits: int) -> None:
    path = next(p for p in shards(folder) if b"down_proj" in p.read_bytes()[:4000])
    data = bytearray(path.read_bytes())
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(bytes(data[8 : 8 + length]))
    start = next(v for k, v in header.items() if "down_proj" in k)["data_offsets"][0]
    data[8 + length + start + 10 : 8 + length + start + 12] = np.array([bits], np.uint16).tobytes()
    path.write_bytes(data)


@fault(
    "a weight is NaN",
    "down_proj.weight: The weights hold NaN",
    SHARD,
    gguf=r"down_proj.weight: a weight is NaN or infinite \(row 0, column 5\)",
)
def weight_is_nan(folder: Path) -> None:
    _with_value(folder, 0x7FC0)


@fault(
    "a weight is infinite",
    "down_proj.weight: The weights hold NaN",
    SHARD,
    gguf=r"down_proj.weight: a weight is NaN or infinite \(row 0, column 5\)",
)
def weight_is_infinite(folder: Path) -> None:
    _with_value(folder, 0xFF80)


@fault("a weight of an integer type", "unquantized revision", SHARD)
def weight_of_an_integer_type(folder: Path) -> None:
    def change(header: dict[str, Any]) -> None:
        next(v for k, v in header.items() if k.endswith("norm.weight"))["dtype"] = "I16"

    rewrite_header(next(p for p in shards(folder) if b"norm.weight" in p.read_bytes()[:6000]), change)


def _of_the_index(folder: Path, name: str) -> None:
    edit(folder / INDEX, lambda c: c["weight_map"].update({"model.norm.weight": name}))


@fault("the index names a shard with a NUL", "names a shard that cannot be one", INDEX)
def index_with_nul(folder: Path) -> None:
    _of_the_index(folder, "model\0.safetensors")


@fault("the index names a folder", "names a shard that cannot be one", INDEX)
def index_names_a_folder(folder: Path) -> None:
    _of_the_index(folder, "./..")


@fault("the index names a shard by a number", "names a shard that cannot be one", INDEX)
def index_with_a_number(folder: Path) -> None:
    edit(folder / INDEX, lambda c: c["weight_map"].update({"model.norm.weight": 1}))


@fault("the index is a list", "does not hold a JSON object", INDEX)
def index_is_a_list(folder: Path) -> None:
    (folder / INDEX).write_text("[]")


@fault("the index has 300 MB", "which no such file needs", INDEX)
def index_is_huge(folder: Path) -> None:
    os.truncate(folder / INDEX, 300_000_000)


@fault("the index is not UTF-8", "is not valid JSON", INDEX)
def index_is_not_utf8(folder: Path) -> None:
    (folder / INDEX).write_bytes(b'{"weight_map": {"\xff": "a"}}')


@fault("a shard that is a link to another kind of file", "header claims|too short", SHARD)
def shard_is_a_link_out(folder: Path) -> None:
    (folder.parent / "secret").write_text("root:x:0:0:root:/root:/bin/sh\n")
    first = shards(folder)[0]
    first.unlink()
    first.symlink_to("../secret")


@fault("a shard that is a link to itself", "shards are missing", SHARD)
def shard_is_a_loop(folder: Path) -> None:
    first = shards(folder)[0]
    first.unlink()
    first.symlink_to(first.name)


@fault("a shard that is a pipe", "shards are missing", SHARD)
def shard_is_a_pipe(folder: Path) -> None:
    first = shards(folder)[0]
    first.unlink()
    os.mkfifo(first)


@fault("a license that is a link to a file of the user's", "is a link to", "LICENSE")
def license_is_a_link_out(folder: Path) -> None:
    (folder.parent / "id_rsa").write_text("a secret that would be published with the model")
    (folder / "LICENSE").symlink_to("../id_rsa")


@fault("a shard that cannot be read because it is a folder", "shards are missing", SHARD)
def shard_is_a_folder(folder: Path) -> None:
    first = shards(folder)[0]
    first.unlink()
    first.mkdir()


@fault("a tensor in two shards", "is in both", SHARD)
def tensor_in_two_shards(folder: Path) -> None:
    first, second = shards(folder)[:2]
    second.write_bytes(first.read_bytes())


@fault("several files of weights without an index", "but no model.safetensors.index.json", INDEX)
def no_index(folder: Path) -> None:
    (folder / INDEX).unlink()


@fault("tensors that overlap in a shard", "does not begin where the tensor before it ends", SHARD)
def header_with_overlapping_tensors(folder: Path) -> None:
    def change(header: dict[str, Any]) -> None:
        entries = [v for k, v in header.items() if k != "__metadata__"]
        entries[1].update(entries[0])

    rewrite_header(next(p for p in shards(folder) if p.read_bytes()[:4000].count(b"data_offsets") > 1), change)


@fault("negative offsets", "shape and offsets", SHARD)
def header_with_negative_offsets(folder: Path) -> None:
    rewrite_header(shards(folder)[0], lambda h: _entry(h).update(data_offsets=[-64, 0], shape=[1, 32]))


@fault("a shape whose product overflows 64 bits", "more elements than can be counted", SHARD)
def header_with_an_overflowing_shape(folder: Path) -> None:
    rewrite_header(shards(folder)[0], lambda h: _entry(h).update(shape=[2**32, 2**32]))


@fault("a header that is not JSON", "the header is not valid", SHARD)
def header_is_no_json(folder: Path) -> None:
    shards(folder)[0].write_bytes(struct.pack("<Q", 8) + b"notjson!" + bytes(64))


@fault("a header nested 100,000 deep", "the header is not valid", SHARD)
def header_nested_without_end(folder: Path) -> None:
    shards(folder)[0].write_bytes(struct.pack("<Q", 100_000) + b"[" * 100_000)


@fault("a header that is not UTF-8", "the header is not valid", SHARD)
def header_is_not_utf8(folder: Path) -> None:
    shards(folder)[0].write_bytes(struct.pack("<Q", 10) + b'{"\xff\xfe": 1}' + bytes(64))


@fault("a tensor of an unknown type", "has the unknown type", SHARD)
def tensor_of_an_unknown_type(folder: Path) -> None:
    rewrite_header(shards(folder)[0], lambda h: _entry(h).update(dtype="F4"))


def _entry(header: dict[str, Any]) -> dict[str, Any]:
    return next(v for k, v in header.items() if k != "__metadata__")


def _one_of_type(folder: Path, dtype: str, size: int) -> None:
    """Store the last norm, 64 elements, in another type: what follows in the shard moves."""
    path = next(p for p in shards(folder) if b'"model.norm.weight"' in p.read_bytes()[:9000])
    data = path.read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    header, body = json.loads(data[8 : 8 + length]), data[8 + length :]
    start, end = header["model.norm.weight"]["data_offsets"]
    grown = 64 * size - (end - start)
    for name, entry in header.items():
        if name != "__metadata__" and entry["data_offsets"][0] > start:
            entry["data_offsets"] = [offset + grown for offset in entry["data_offsets"]]
    header["model.norm.weight"].update(dtype=dtype, data_offsets=[start, end + grown])
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + body[:start] + bytes(64 * size) + body[end:])


@fault("a weight in FP8", "unquantized revision", SHARD)
def weight_in_fp8(folder: Path) -> None:
    _one_of_type(folder, "F8_E4M3", 1)


@fault("a weight in INT64", "unquantized revision", SHARD)
def weight_in_int64(folder: Path) -> None:
    _one_of_type(folder, "I64", 8)


@fault("nothing but a pickle of torch before 1.6", "before torch 1.6", r"pytorch_model\.bin")
def only_an_old_pickle(folder: Path) -> None:
    no_weights(folder)
    magic = pickle.dumps(0x1950A86A20F9469CFC6C, 2)
    (folder / "pytorch_model.bin").write_bytes(magic + pickle.dumps(1001, 2))


class _Evil:
    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return eval, ("__import__('os').system('touch ran')",)


@fault("a pickle that calls eval, hidden in a state dictionary", r"the global __builtin__\.eval", r"pytorch_model\.bin")
def pickle_that_evaluates(folder: Path) -> None:
    no_weights(folder)
    with zipfile.ZipFile(folder / "pytorch_model.bin", "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps({"model.norm.weight": _Evil()}, 2))


@fault("a zip in the weights' place that unpacks to 64 MB", "is compressed", r"pytorch_model\.bin")
def zip_bomb_as_weights(folder: Path) -> None:
    no_weights(folder)
    with zipfile.ZipFile(folder / "pytorch_model.bin", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", bytes(64 << 20))


@fault("a zip of zips in the weights' place", "not one of torch.save", r"pytorch_model\.bin")
def zip_of_zips_as_weights(folder: Path) -> None:
    no_weights(folder)
    data = b""
    for _ in range(5):
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as archive:
            for i in range(4):
                archive.writestr(f"{i}.zip", data)
        data = buffer.getvalue()
    (folder / "pytorch_model.bin").write_bytes(data)


@fault("config.json is empty", "is not valid JSON", r"config\.json")
def config_is_empty(folder: Path) -> None:
    (folder / "config.json").write_bytes(b"")


@fault("config.json in UTF-16", "is not valid JSON", r"config\.json")
def config_in_utf16(folder: Path) -> None:
    (folder / "config.json").write_bytes((folder / "config.json").read_text().encode("utf-16"))


@fault("config.json says NaN", "rms_norm_eps", r"config\.json")
def config_with_nan(folder: Path) -> None:
    edit(folder / "config.json", lambda c: c.update(rms_norm_eps=float("nan")))


@fault("config.json says a hidden size of 0", "hidden_size", r"config\.json")
def config_with_zero(folder: Path) -> None:
    edit(folder / "config.json", lambda c: c.update(hidden_size=0))


@fault("config.json says a negative number of layers", "num_hidden_layers", r"config\.json")
def config_with_a_negative_number(folder: Path) -> None:
    edit(folder / "config.json", lambda c: c.update(num_hidden_layers=-1))


@fault("config.json says 10^12 layers", "num_hidden_layers", r"config\.json")
def config_with_a_trillion_layers(folder: Path) -> None:
    edit(folder / "config.json", lambda c: c.update(num_hidden_layers=10**12))


@fault("config.json says a number of 10^400", "hidden_size|not valid JSON", r"config\.json")
def config_with_an_endless_number(folder: Path) -> None:
    edit(folder / "config.json", lambda c: c.update(hidden_size=10**400))


@fault("config.json says a list for a number", "num_attention_heads", r"config\.json")
def config_with_a_list_for_a_number(folder: Path) -> None:
    edit(folder / "config.json", lambda c: c.update(num_attention_heads=[4]))


@fault("config.json says a text for the rotary parameters", "rope", r"config\.json")
def config_with_a_text_for_rope(folder: Path) -> None:
    edit(folder / "config.json", lambda c: c.update(rope_parameters="default"))


@fault("heads that do not divide the hidden size", "4 heads cannot share 3 keys", r"config\.json")
def config_with_odd_heads(folder: Path) -> None:
    edit(folder / "config.json", lambda c: c.update(num_key_value_heads=3))


@fault("generation_config.json is not JSON", "is not valid JSON", r"generation_config\.json")
def generation_config_is_not_json(folder: Path) -> None:
    (folder / "generation_config.json").write_text("{")


@fault("tokenizer.json is not JSON", "tokenizer.json is not valid JSON", r"tokenizer\.json")
def tokenizer_is_not_json(folder: Path) -> None:
    (folder / "tokenizer.json").write_text("{")


@fault("tokenizer_config.json is a list", "tokenizer_config.json does not hold", "tokenizer_config")
def tokenizer_config_is_a_list(folder: Path) -> None:
    (folder / "tokenizer_config.json").write_text("[]")


@fault("a tokenizer whose vocabulary is a text", "tokenizer.json has no vocabulary", r"tokenizer\.json")
def tokenizer_with_a_text_for_a_vocabulary(folder: Path) -> None:
    edit(folder / "tokenizer.json", lambda c: c["model"].update(vocab="abc"))


@fault("a tokenizer of an unknown kind", "tokenizer", r"tokenizer\.json")
def tokenizer_of_an_unknown_kind(folder: Path) -> None:
    edit(folder / "tokenizer.json", lambda c: c["model"].update(type="Nonesuch"))


@fault("config.json says that two tensors are tied which differ", "tied to|tie_word_embeddings", r"config\.json")
def tie_of_what_differs(folder: Path) -> None:
    edit(folder / "config.json", lambda c: c.update(tie_word_embeddings=True))


@fault("vision weights that config.json does not mention", "have no place in a|vision", "vision")
def vision_weights_nobody_asked_for(folder: Path) -> None:
    from safetensors.numpy import save_file

    name, weight = "vision_tower.patch.weight", "model-00009-of-00009.safetensors"
    save_file({name: np.zeros((4, 4), np.float32)}, folder / weight)
    edit(folder / INDEX, lambda c: c["weight_map"].update({name: weight}))
