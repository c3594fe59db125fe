"""The whole way to a file: values, places, sizes, splits, refusals."""

import json
import shutil

import gguf
import numpy as np
import pytest
from gguf.quants import dequantize
from safetensors.numpy import load_file, save_file

from edgeconv.convert.gguf import write as writing
from edgeconv.convert.gguf.export import export, prepare
from edgeconv.convert.gguf.recipe import recipe
from edgeconv.convert.open_checkpoint import open_checkpoint
from edgeconv.core.digest import sha256_file
from edgeconv.core.errors import CheckpointError, UsageError
from edgeconv.core.progress import Silent
from edgeconv.quantize.ggml.rows import quantize

from .samples import GEMMA, checkpoint, config, keys, tensors, types, write_checkpoint, write_gguf


def values(path):
    """Tensor → float32 values in the checkpoint's orientation."""
    return {
        name: dequantize(t.data, t.tensor_type).reshape([int(n) for n in reversed(t.shape)])
        for name, t in tensors(path).items()
    }


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    return write_checkpoint(tmp_path_factory.mktemp("source") / "llama", config(mlp_bias=True, attention_bias=True))


def test_float32_holds_the_checkpoints_values_at_their_names(source, tmp_path):
    write_gguf(source, tmp_path / "a.gguf", "f32")
    stored, given = values(tmp_path / "a.gguf"), load_file(source / "model.safetensors")
    plain = {
        "token_embd.weight": "model.embed_tokens.weight",
        "output.weight": "lm_head.weight",
        "output_norm.weight": "model.norm.weight",
        "blk.1.attn_norm.weight": "model.layers.1.input_layernorm.weight",
        "blk.1.ffn_norm.weight": "model.layers.1.post_attention_layernorm.weight",
        "blk.1.attn_v.weight": "model.layers.1.self_attn.v_proj.weight",
        "blk.1.attn_output.bias": "model.layers.1.self_attn.o_proj.bias",
        "blk.1.ffn_gate.weight": "model.layers.1.mlp.gate_proj.weight",
        "blk.1.ffn_up.weight": "model.layers.1.mlp.up_proj.weight",
        "blk.1.ffn_down.bias": "model.layers.1.mlp.down_proj.bias",
    }
    for name, of in plain.items():
        assert np.array_equal(stored[name], given[of]), name
    for part, heads in (("q", 4), ("k", 2)):
        for kind in ("weight", "bias"):
            rows = given[f"model.layers.0.self_attn.{part}_proj.{kind}"]
            # `LlamaModel.permute` of llama.cpp's converter
            turned = rows.reshape(heads, 2, rows.shape[0] // heads // 2, *rows.shape[1:]).swapaxes(1, 2)
            assert np.array_equal(stored[f"blk.0.attn_{part}.{kind}"], turned.reshape(rows.shape))
    assert len(stored) == len(given)


def test_rows_of_heads_stay_together_however_tensors_are_cut(source, tmp_path, monkeypatch):
    write_gguf(source, tmp_path / "a.gguf", "q8_0")
    monkeypatch.setattr(writing, "BLOCK", 100)  # less than two rows
    write_gguf(source, tmp_path / "b.gguf", "q8_0")
    assert (tmp_path / "a.gguf").read_bytes() == (tmp_path / "b.gguf").read_bytes()


def test_gemmas_norms_get_their_one_back_in_float32(tmp_path):
    folder = write_checkpoint(tmp_path / "gemma", config(**GEMMA), dtype="float16")
    write_gguf(folder, tmp_path / "a.gguf", "f16")
    stored, given = values(tmp_path / "a.gguf"), load_file(folder / "model.safetensors")
    for name, of in {
        "blk.0.attn_q_norm.weight": "self_attn.q_norm",
        "blk.0.post_ffw_norm.weight": "post_feedforward_layernorm",
        "blk.0.ffn_norm.weight": "pre_feedforward_layernorm",
        "blk.0.post_attention_norm.weight": "post_attention_layernorm",
    }.items():
        whole = given[f"model.layers.0.{of}.weight"].astype(np.float32) + np.float32(1)
        assert np.array_equal(stored[name], whole)


@pytest.mark.parametrize("kind", ["bf16", "f16", "q8_0", "q4_k_m"])
def test_size_is_known_beforehand_and_bytes_are_always_the_same(kind, source, tmp_path):
    prepared, exported = write_gguf(source, tmp_path / "a.gguf", kind)
    write_gguf(source, tmp_path / "b.gguf", kind)
    data = (tmp_path / "a.gguf").read_bytes()
    assert data == (tmp_path / "b.gguf").read_bytes()
    assert exported.digests["a.gguf"].size == prepared.size == len(data)
    assert exported.digests["a.gguf"].sha256 == sha256_file(tmp_path / "a.gguf")
    table = {entry.name: entry for entry in exported.tensors}
    for tensor in tensors(tmp_path / "a.gguf").values():
        entry = table[tensor.name]
        assert entry.precision == tensor.tensor_type.name.lower()
        assert entry.bytes == tensor.n_bytes
        assert entry.shape == [int(n) for n in reversed(tensor.shape)]
        assert tensor.data_offset % 32 == 0


def test_headers_are_enough_for_the_plan(source, tmp_path):
    """A plan for a checkpoint on the Hub has shards' headers and the small files only."""
    from edgeconv.convert.open_checkpoint import open_headers

    raw = (source / "model.safetensors").read_bytes()
    header = json.loads(raw[8 : 8 + int.from_bytes(raw[:8], "little")])
    bare = tmp_path / "bare"
    shutil.copytree(source, bare, ignore=shutil.ignore_patterns("*.safetensors"))
    opened = open_headers(bare, {"model.safetensors": header}, {"model.safetensors": len(raw)})
    planned = prepare(opened, recipe("q4_k_m"), "a.gguf").size
    prepared, _ = write_gguf(source, tmp_path / "a.gguf", "q4_k_m")
    # the name of the folder stands in the file
    assert abs(planned - prepared.size) <= 64


def test_importance_weighs_the_errors(source, tmp_path):
    given = load_file(source / "model.safetensors")["model.layers.0.self_attn.v_proj.weight"]
    weights = np.geomspace(1e-3, 1e3, 64).astype(np.float32)
    importance = {"blk.0.attn_v.weight": weights, "token_embd.weight": np.ones(7, np.float32)}
    write_gguf(source, tmp_path / "a.gguf", "q4_0", importance=importance)
    write_gguf(source, tmp_path / "b.gguf", "q4_0")
    a, b = tensors(tmp_path / "a.gguf"), tensors(tmp_path / "b.gguf")
    assert np.array_equal(a["blk.0.attn_v.weight"].data.reshape(32, -1), quantize(given, "q4_0", weights))
    assert not np.array_equal(a["blk.0.attn_v.weight"].data, b["blk.0.attn_v.weight"].data)
    assert np.array_equal(a["blk.1.attn_v.weight"].data, b["blk.1.attn_v.weight"].data)
    # a vector of another width is ignored for the embedding alone, as llama-quantize does
    assert np.array_equal(a["token_embd.weight"].data, b["token_embd.weight"].data)


@pytest.mark.parametrize(
    ("vector", "said"),
    [
        (np.ones(7, np.float32), "has 7 numbers for blk.0.attn_v.weight"),
        (np.full(64, np.nan, np.float32), "that is none"),
    ],
)
def test_importance_of_another_model_is_refused(vector, said, source):
    with pytest.raises(UsageError, match=said):
        prepare(open_checkpoint(source), recipe("q4_0"), "a.gguf", importance={"blk.0.attn_v.weight": vector})


def test_splits_are_named_and_keyed_as_upstream_does(source, tmp_path):
    write_gguf(source, tmp_path / "whole.gguf", "q8_0")
    limit = 400_000
    prepared, exported = write_gguf(source, tmp_path / "part.gguf", "q8_0", split_max_size=limit)
    count = len(prepared.layout.files)
    names = [f"part-{number + 1:05d}-of-{count:05d}.gguf" for number in range(count)]
    assert count > 1
    assert list(exported.digests) == names
    assert sorted(path.name for path in tmp_path.glob("part*")) == names
    every = tensors(tmp_path / "whole.gguf")
    seen = []
    for number, name in enumerate(names):
        read, part = keys(tmp_path / name), tensors(tmp_path / name)
        split = {"split.no": number, "split.count": count, "split.tensors.count": len(every)}
        assert {key: read[key] for key in split} == split
        assert ("general.architecture" in read) == (number == 0)
        assert exported.digests[name].sha256 == sha256_file(tmp_path / name)
        assert sum(t.n_bytes for t in part.values()) <= limit or len(part) == 1
        for tensor in part.values():
            assert np.array_equal(tensor.data, every[tensor.name].data)
        seen += part
        assert [entry.name for entry in exported.tensors if entry.file == name] == list(part)
    assert seen == list(every)


def test_splits_are_cut_where_gguf_py_cuts(source):
    opened = open_checkpoint(source)
    for limit in (100_000, 300_000, 1_100_000):
        files = prepare(opened, recipe("q8_0"), "a.gguf", split_max_size=limit).layout.files
        writer = gguf.GGUFWriter(None, "llama", split_max_size=limit)
        for placed in [placed for file in files for placed in file.tensors]:
            writer.add_tensor_info(placed.tensor.name, placed.tensor.shape, np.dtype(np.float32), placed.bytes)
        assert [[p.tensor.name for p in file.tensors] for file in files] == [list(part) for part in writer.tensors]


@pytest.mark.parametrize("kind", ["q4_k_m", "f32"])
def test_a_weight_that_is_no_number_is_named(kind, source, tmp_path):
    folder = tmp_path / "bad"
    shutil.copytree(source, folder)
    given = load_file(folder / "model.safetensors")
    given["model.layers.1.mlp.up_proj.weight"][5, 3] = np.nan
    save_file(given, folder / "model.safetensors")
    with pytest.raises(CheckpointError, match=r"model.layers.1.mlp.up_proj.weight: .*row 5, column 3"):
        write_gguf(folder, tmp_path / "a.gguf", kind)


def test_float16_does_not_overflow_silently(tmp_path):
    folder = write_checkpoint(tmp_path / "large", config())
    given = load_file(folder / "model.safetensors")
    given["lm_head.weight"][0, 0] = 1e5
    save_file(given, folder / "model.safetensors")
    with pytest.raises(CheckpointError, match=r"lm_head\.weight"):
        write_gguf(folder, tmp_path / "a.gguf", "f16")
    write_gguf(folder, tmp_path / "b.gguf", "bf16")


def rewritten(source, folder, change):
    shutil.copytree(source, folder)
    given = load_file(folder / "model.safetensors")
    change(given)
    save_file(given, folder / "model.safetensors")
    return open_checkpoint(folder)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda t: t.pop("model.norm.weight"), "no tensor model.norm.weight"),
        (
            lambda t: t.update({"model.norm.weight": np.ones(63, np.float32)}),
            r"is \[63\]; by config.json it should be \[64\]",
        ),
        (
            lambda t: t.update({"model.layers.2.mlp.up_proj.weight": np.ones(3, np.float32)}),
            "no place in a llama decoder",
        ),
        (lambda t: t.update({"model.norm.weight": np.ones(64, np.int32)}), "type I32"),
    ],
)
def test_tensors_must_be_those_of_the_config(change, said, source, tmp_path):
    with pytest.raises(CheckpointError, match=said):
        prepare(rewritten(source, tmp_path / "changed", change), recipe("q8_0"), "a.gguf")


def test_a_tied_head_may_be_stored_if_it_is_the_embedding(tmp_path):
    folder = write_checkpoint(tmp_path / "tied", config(tie_word_embeddings=True))
    same = rewritten(folder, tmp_path / "same", lambda t: t.update({"lm_head.weight": t["model.embed_tokens.weight"]}))
    layout = prepare(same, recipe("q8_0"), "a.gguf").layout
    assert "output.weight" not in [placed.tensor.name for placed in layout.tensors]
    other = rewritten(
        folder, tmp_path / "other", lambda t: t.update({"lm_head.weight": t["model.embed_tokens.weight"] + 1})
    )
    with pytest.raises(CheckpointError, match="differs"):
        prepare(other, recipe("q8_0"), "a.gguf")


def test_types_that_are_left_alone_keep_the_checkpoints(tiny_model, tmp_path):
    write_gguf(tiny_model("llama"), tmp_path / "a.gguf", recipe("q8_0", leave_output=True))
    found = types(tmp_path / "a.gguf")
    assert (found["output.weight"], found["token_embd.weight"], found["output_norm.weight"]) == ("bf16", "q8_0", "f32")


def test_file_name_must_be_one_that_llama_cpp_finds(tmp_path):
    with pytest.raises(UsageError, match="does not end in"):
        prepare(checkpoint(tmp_path / "c"), recipe("q8_0"), "model.bin")


def test_a_type_that_this_installation_cannot_write_is_refused_before_a_weight_is_read(source, monkeypatch):
    monkeypatch.setenv("EDGECONV_KERNELS", "numpy")
    with pytest.raises(UsageError, match="needs the compiled kernels"):
        prepare(open_checkpoint(source), recipe("iq4_nl"), "a.gguf")


def test_progress_counts_the_checkpoints_bytes(source, tmp_path):
    class Counting(Silent):
        def __init__(self):
            self.total = self.done = 0

        def task(self, description, total=None):
            self.total = total
            return self

        def advance(self, amount):
            self.done += amount

        def finish(self):
            pass

    opened, progress = open_checkpoint(source), Counting()
    prepared = prepare(opened, recipe("q8_0"), "a.gguf")
    export(opened, prepared, tmp_path, progress=progress)
    assert progress.done == progress.total == sum(a.nbytes for a in load_file(source / "model.safetensors").values())
