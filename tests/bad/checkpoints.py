"""Makers of bad checkpoints: each takes a folder with a copy of a sound one (two shards and more) and spoils one thing."""

from __future__ import annotations

import json
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

INDEX = "model.safetensors.index.json"
Maker = Callable[[Path], None]
FAULTS: dict[str, tuple[Maker, str]] = {}
"""Name → (maker, what the message must say)."""


def fault(says: str) -> Callable[[Maker], Maker]:
    def register(maker: Maker) -> Maker:
        FAULTS[maker.__name__] = (maker, says)
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


@fault("shards are missing")
def shard_missing(folder: Path) -> None:
    shards(folder)[0].unlink()


@fault("does not know the shard")
def shard_in_no_index(folder: Path) -> None:
    first = shards(folder)[0]
    (folder / "model-00099-of-00099.safetensors").write_bytes(first.read_bytes())


@fault("names a shard that cannot be one")
def index_leaves_the_folder(folder: Path) -> None:
    edit(folder / INDEX, lambda c: c["weight_map"].update({"model.norm.weight": "../model-00001-of-00002.safetensors"}))


@fault("names a shard that cannot be one")
def index_with_absolute_path(folder: Path) -> None:
    edit(folder / INDEX, lambda c: c["weight_map"].update({"model.norm.weight": "/etc/passwd.safetensors"}))


@fault("names a shard that cannot be one")
def index_with_backslash(folder: Path) -> None:
    edit(folder / INDEX, lambda c: c["weight_map"].update({"model.norm.weight": "..\\model.safetensors"}))


@fault("is not valid JSON")
def index_is_not_json(folder: Path) -> None:
    (folder / INDEX).write_text("{")


@fault("has no weight_map")
def index_without_map(folder: Path) -> None:
    (folder / INDEX).write_text('{"weight_map": []}')


@fault("which does not hold it")
def index_promises_more(folder: Path) -> None:
    edit(folder / INDEX, lambda c: c["weight_map"].update({"extra.weight": shards(folder)[0].name}))


@fault("truncated")
def shard_truncated(folder: Path) -> None:
    path = shards(folder)[0]
    path.write_bytes(path.read_bytes()[:-100])


@fault("bytes after its last tensor")
def shard_with_trailing_bytes(folder: Path) -> None:
    path = shards(folder)[0]
    path.write_bytes(path.read_bytes() + b"x")


@fault("a name appears twice")
def header_with_duplicate_key(folder: Path) -> None:
    path = shards(folder)[0]
    data = path.read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    header = data[8 : 8 + length].rstrip()
    name, entry = next(i for i in json.loads(header).items() if i[0] != "__metadata__")
    text = header[:-1] + b"," + json.dumps({name: entry}).encode()[1:]
    path.write_bytes(struct.pack("<Q", len(text)) + text + data[8 + length :])


@fault("the header claims")
def header_of_2_to_the_63(folder: Path) -> None:
    path = shards(folder)[0]
    path.write_bytes(struct.pack("<Q", 2**63) + path.read_bytes()[8:])


@fault("shape and offsets")
def header_with_another_shape(folder: Path) -> None:
    rewrite_header(shards(folder)[0], lambda h: next(v for k, v in h.items() if k != "__metadata__")["shape"].append(3))


@fault("Git-LFS pointer|header claims")
def shard_is_a_git_lfs_pointer(folder: Path) -> None:
    shards(folder)[0].write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 5\n")


@fault("header claims")
def shard_is_a_web_page(folder: Path) -> None:
    shards(folder)[0].write_text("<!DOCTYPE html><html>404</html>")


@fault("is too short")
def shard_is_empty(folder: Path) -> None:
    shards(folder)[0].write_bytes(b"")


@fault("no safetensors files")
def no_weights(folder: Path) -> None:
    for path in [*shards(folder), folder / INDEX]:
        path.unlink()


@fault("no whole file of torch.save")
def only_a_bare_pickle(folder: Path) -> None:
    no_weights(folder)
    (folder / "pytorch_model.bin").write_bytes(b"\x80\x04.")


@fault("unknown layout")
def only_weights_of_another_tool(folder: Path) -> None:
    no_weights(folder)
    (folder / "weights.pth").write_bytes(b"\x80\x04.")


@fault("the global posix.system")
def pickle_that_runs_a_program(folder: Path) -> None:
    no_weights(folder)
    with zipfile.ZipFile(folder / "pytorch_model.bin", "w") as archive:
        archive.writestr("archive/data.pkl", b"cposix\nsystem\n(S'touch ran'\ntR.")


@fault("hold no tensors")
def zero_tensors(folder: Path) -> None:
    no_weights(folder)
    text = b"{}"
    (folder / "model.safetensors").write_bytes(struct.pack("<Q", len(text)) + text)


@fault("has no config.json")
def no_config(folder: Path) -> None:
    (folder / "config.json").unlink()


@fault("not valid JSON")
def config_nested_without_end(folder: Path) -> None:
    (folder / "config.json").write_text("[" * 100_000)


@fault("does not hold a JSON object")
def config_is_a_list(folder: Path) -> None:
    (folder / "config.json").write_text("[]")


@fault("does not name a model_type")
def config_without_model_type(folder: Path) -> None:
    edit(folder / "config.json", lambda c: c.pop("model_type"))


@fault("No engine can convert model_type 'nonesuch'")
def unknown_model_type(folder: Path) -> None:
    edit(folder / "config.json", lambda c: c.update(model_type="nonesuch"))


@fault("not run without consent")
def custom_code_without_consent(folder: Path) -> None:
    edit(folder / "config.json", lambda c: c.update(model_type="nonesuch", auto_map={"AutoConfig": "evil.Config"}))
    (folder / "evil.py").write_text("open('/tmp/edgeconv-was-here', 'w')")


@fault("by config.json it should be")
def vocabulary_of_another_size(folder: Path) -> None:
    edit(folder / "config.json", lambda c: c.update(vocab_size=c["vocab_size"] + 8))


@fault("has no tensor model.layers.2")
def more_layers_than_weights(folder: Path) -> None:
    edit(folder / "config.json", lambda c: c.update(num_hidden_layers=3))


@fault("have no place in a")
def fewer_layers_than_weights(folder: Path) -> None:
    edit(folder / "config.json", lambda c: c.update(num_hidden_layers=1))


@fault("hidden_size is '64'")
def config_with_text_for_a_number(folder: Path) -> None:
    edit(folder / "config.json", lambda c: c.update(hidden_size="64"))


@fault("has no tokenizer")
def no_tokenizer(folder: Path) -> None:
    for path in folder.glob("tokenizer*"):
        path.unlink()


@fault("tokenizer cannot be converted")
def corrupt_tokenizer(folder: Path) -> None:
    (folder / "tokenizer.json").write_text("{}")


@fault("has 4096 tokens, the model 4000")
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


@fault("down_proj.weight: The weights hold NaN")
def weight_is_nan(folder: Path) -> None:
    _with_value(folder, 0x7FC0)


@fault("down_proj.weight: The weights hold NaN")
def weight_is_infinite(folder: Path) -> None:
    _with_value(folder, 0xFF80)


@fault("unquantised revision")
def weight_of_an_integer_type(folder: Path) -> None:
    def change(header: dict[str, Any]) -> None:
        next(v for k, v in header.items() if k.endswith("norm.weight"))["dtype"] = "I16"

    rewrite_header(next(p for p in shards(folder) if b"norm.weight" in p.read_bytes()[:6000]), change)
