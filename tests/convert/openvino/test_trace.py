"""The trace engine against torch, against NNCF, against itself, and against damaged checkpoints."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgeconv.convert.open_checkpoint import open_checkpoint
from edgeconv.convert.openvino import compress_find, trace
from edgeconv.convert.openvino.engine import Exported
from edgeconv.core.errors import CheckpointError
from edgeconv.core.progress import Silent
from edgeconv.quantize.scheme import Request, resolve

from ...ir import Runner, torch_logits, torch_model, weights
from ...models.tiny import FAMILIES

CONVERSION = 1e-3
"""max |Δlogit| between the IR in ACCURACY mode and torch float32 holding the IR's own weights."""
FULL_PRECISION = 3e-4
"""max |Δlogit| between a bf16 IR in ACCURACY mode and torch float32."""
SIZE = {"hidden_size": 256, "intermediate_size": 384, "head_dim": 64}
"""Wide enough that NNCF takes its usual path, which begins at 10,000 weights a tensor."""
IDS = np.random.default_rng(7).integers(5, 4000, 64).tolist()
MODEL = "openvino_model.xml"
BIN = "openvino_model.bin"


def export(source: Path, out: Path, request: Request, **options: Any) -> Exported:
    out.mkdir(exist_ok=True)
    return trace.export(open_checkpoint(source), resolve(request), out, progress=Silent(), **options)


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def torch_with_ir_weights(source: Path, ir: Path) -> Any:
    """The checkpoint in float32 with every matrix as the IR holds it."""
    import torch

    model, stored = torch_model(source), weights(ir)
    matrices = {name: parameter for name, parameter in model.named_parameters() if parameter.ndim == 2}
    assert set(matrices) <= set(stored)
    with torch.no_grad():
        for name, parameter in matrices.items():
            parameter.copy_(torch.from_numpy(stored[name]))
    return model


@pytest.mark.parametrize("model_type", FAMILIES)
@pytest.mark.parametrize("precision", ["bf16", "int8", "int4"])
def test_conversion_error_of_every_family(
    model_type: str, precision: str, tiny_model: Callable[..., Path], tmp_path: Path
) -> None:
    source = tiny_model(model_type, **SIZE)
    exported = export(source, tmp_path, Request(precision))
    assert exported.notes == []
    runner = Runner(tmp_path / MODEL)
    logits = runner.logits(IDS)
    assert np.abs(logits - torch_logits(torch_with_ir_weights(source, tmp_path / MODEL), IDS)).max() < CONVERSION
    if precision == "bf16":
        assert np.abs(logits - torch_logits(torch_model(source), IDS)).max() < FULL_PRECISION
    assert np.abs(runner.decode(IDS) - logits).max() < CONVERSION


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["bf16", "int4"])
def test_conversion_error_on_real_weights(precision: str, smollm2_glm: Path, tmp_path: Path) -> None:
    export(smollm2_glm, tmp_path, Request(precision))
    logits = Runner(tmp_path / MODEL).logits(IDS)
    expected = torch_logits(torch_with_ir_weights(smollm2_glm, tmp_path / MODEL), IDS)
    assert np.abs(logits - expected).max() < (FULL_PRECISION if precision == "bf16" else CONVERSION)


VARIANTS = {
    "tied": ("llama", {"tie_word_embeddings": True}),
    "float16": ("llama", {"dtype": "float16"}),
    "float32": ("glm", {"dtype": "float32"}),
    "float32, tied": ("llama", {"dtype": "float32", "tie_word_embeddings": True}),
    "three shards": ("glm", {"max_shard_size": "1500KB"}),
    "half rotary, biases": ("glm", {"attention_bias": True, "partial_rotary_factor": 0.5,
                            "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0, "partial_rotary_factor": 0.5}}),
}  # fmt: skip


@pytest.mark.parametrize("name", VARIANTS)
@pytest.mark.parametrize("precision", ["fp16", "int8"])
def test_conversion_error_of_variants(
    name: str, precision: str, tiny_model: Callable[..., Path], tmp_path: Path
) -> None:
    model_type, overrides = VARIANTS[name]
    source = tiny_model(model_type, **SIZE, **overrides)
    export(source, tmp_path, Request(precision))
    expected = torch_logits(torch_with_ir_weights(source, tmp_path / MODEL), IDS)
    assert np.abs(Runner(tmp_path / MODEL).logits(IDS) - expected).max() < CONVERSION


@pytest.mark.parametrize(("dtype", "element"), [("bfloat16", "bf16"), ("float16", "f16"), ("float32", "f32")])
@pytest.mark.parametrize(("precision", "stored"), [("bf16", "bf16"), ("fp16", "f16"), ("fp32", "f32")])
def test_float_precisions_convert_the_matrices_alone(
    dtype: str, element: str, precision: str, stored: str, tiny_model: Callable[..., Path], tmp_path: Path
) -> None:
    source = tiny_model("llama", **SIZE, dtype=dtype)
    exported = export(source, tmp_path, Request(precision))
    matrices = {entry.precision for entry in exported.tensors if len(entry.shape) == 2}
    assert matrices == {stored}
    assert {entry.precision for entry in exported.tensors if len(entry.shape) == 1} == {"f32"}
    if stored in (element, "f32"):
        assert (
            np.abs(Runner(tmp_path / MODEL).logits(IDS) - torch_logits(torch_model(source), IDS)).max() < FULL_PRECISION
        )


def test_far_positions_keep_their_angles(tiny_model: Callable[..., Path], tmp_path: Path) -> None:
    source = tiny_model("glm", **SIZE, max_position_embeddings=8192)
    export(source, tmp_path, Request("fp16"))
    ids = np.random.default_rng(3).integers(5, 4000, 4500).tolist()
    ours = Runner(tmp_path / MODEL).logits(ids)[-400:]
    exact = torch_logits(torch_with_ir_weights(source, tmp_path / MODEL), ids)[-400:]
    assert np.abs(ours - exact).max() < CONVERSION


REQUESTS = [
    Request("int4", sym=True, group_size=128, ratio=0.8),
    Request("int8"),
    Request("int4", group_size=64, ratio=0.6, all_layers=True),
    Request("int4", group_size=-1, backup_precision="none"),
    Request("int4", group_size=32, backup_precision="int8_sym"),
]


@pytest.mark.parametrize(
    ("model_type", "request_"),
    [*(("glm", r) for r in REQUESTS), *(("gemma3_text", r) for r in REQUESTS[:3])],
    ids=lambda value: value if isinstance(value, str) else resolve(value).describe(),
)
def test_our_bytes_are_those_of_nncf(
    model_type: str, request_: Request, tiny_model: Callable[..., Path], tmp_path: Path
) -> None:
    source = tiny_model(model_type, **SIZE)
    ours = export(source, tmp_path / "ours", request_)
    theirs = export(source, tmp_path / "theirs", request_, compressor="nncf")
    assert (ours.compressor, theirs.compressor) == ("edgeconv", "nncf")
    assert sha256(tmp_path / "ours" / BIN) == sha256(tmp_path / "theirs" / BIN)
    assert ours.tensors == theirs.tensors
    assert _rt_info(tmp_path / "ours" / MODEL, "nncf").keys() == _rt_info(tmp_path / "theirs" / MODEL, "nncf").keys()


def _rt_info(path: Path, *keys: str) -> dict[str, Any]:
    import openvino as ov

    value = ov.Core().read_model(path).get_rt_info([*keys, "weight_compression"]).value
    return {key: str(v) for key, v in value.items()}


def test_a_layout_that_is_not_ours_goes_to_nncf(
    tiny_model: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def find(*_: Any, **__: Any) -> None:
        raise compress_find.NotOurs("w is [3, 64, 48], read by a MatMul")

    source = tiny_model("llama", **SIZE)
    export(source, tmp_path / "ours", Request("int4"))
    monkeypatch.setattr(compress_find, "find", find)
    exported = export(source, tmp_path / "theirs", Request("int4"))
    assert exported.compressor == "nncf"
    assert exported.notes == [
        "NNCF compressed all weights, because one is not a plain matrix: w is [3, 64, 48], read by a MatMul."
    ]
    assert sha256(tmp_path / "ours" / BIN) == sha256(tmp_path / "theirs" / BIN)


@pytest.mark.parametrize("precision", ["nf4", "mxfp4", "cb4", "fp8_e4m3", "int3_sym"])
def test_what_only_nncf_can_do(precision: str, tiny_model: Callable[..., Path], tmp_path: Path) -> None:
    exported = export(tiny_model("llama", **SIZE), tmp_path, Request(precision))
    assert exported.compressor == "nncf"
    assert precision in {entry.precision for entry in exported.tensors}
    assert np.isfinite(Runner(tmp_path / MODEL).logits(IDS)).all()


def test_table_and_digest(tiny_model: Callable[..., Path], tmp_path: Path) -> None:
    source = tiny_model("qwen3", **SIZE)
    exported = export(source, tmp_path, Request("int4", group_size=64))
    checkpoint = open_checkpoint(source)
    assert {entry.name: tuple(entry.shape) for entry in exported.tensors} == {
        name: checkpoint.info(name).shape for name in checkpoint.names
    }
    rows = {entry.name: entry for entry in exported.tensors}
    query = rows["model.layers.0.self_attn.q_proj.weight"]
    assert (query.precision, query.group_size) == ("int4_asym", 64)
    assert query.bytes == 256 * 256 // 2 + 256 * 4 * 2 + 256 * 4 // 2
    assert rows["lm_head.weight"].precision == "int8_asym"
    assert rows["model.layers.1.self_attn.k_norm.weight"].precision == "f32"
    assert exported.digests[BIN].sha256 == sha256(tmp_path / BIN)
    assert exported.digests[BIN].size == (tmp_path / BIN).stat().st_size


def test_names_of_constants_are_right(tiny_model: Callable[..., Path], tmp_path: Path) -> None:
    """Each constant that carries a tensor's name holds that tensor's values."""
    source = tiny_model("qwen2", **SIZE)
    export(source, tmp_path, Request("fp32"))
    checkpoint, stored = open_checkpoint(source), weights(tmp_path / MODEL)
    assert set(stored) == checkpoint.names
    for name, values in stored.items():
        expected = (checkpoint.tensor(name).astype(np.uint32) << 16).view(np.float32)
        np.testing.assert_array_equal(values.reshape(expected.shape), expected, err_msg=name)


PROCESS = """
import sys
from pathlib import Path
from edgeconv.convert.open_checkpoint import open_checkpoint
from edgeconv.convert.openvino import trace
from edgeconv.core.progress import Silent
from edgeconv.quantize.scheme import Request, resolve
scheme = resolve(Request("int4", ratio=0.8, group_size=64))
trace.export(open_checkpoint(Path(sys.argv[1])), scheme, Path(sys.argv[2]), progress=Silent())
"""


def test_the_same_bytes_in_any_process(tiny_model: Callable[..., Path], tmp_path: Path) -> None:
    source = tiny_model("glm", **SIZE)
    for name in ("one", "two"):
        export(source, tmp_path / name, Request("int4", ratio=0.8, group_size=64))
    (tmp_path / "other").mkdir()
    done = subprocess.run(
        [sys.executable, "-c", PROCESS, source, tmp_path / "other"], capture_output=True, text=True, check=True
    )
    assert done.stdout == ""
    for file in (MODEL, BIN):
        assert len({sha256(tmp_path / name / file) for name in ("one", "two", "other")}) == 1


def test_inputs_outputs_and_state(tiny_model: Callable[..., Path], tmp_path: Path) -> None:
    import openvino as ov

    source = tiny_model("glm", **SIZE)
    export(source, tmp_path, Request("int4"))
    model = ov.Core().read_model(tmp_path / MODEL)
    assert [port.get_any_name() for port in model.inputs] == ["input_ids", "attention_mask", "position_ids", "beam_idx"]
    assert [port.get_any_name() for port in model.outputs] == ["logits"]
    assert len(model.get_sinks()) == 2 * 2
    options = model.get_rt_info(["runtime_options"]).value
    assert dict(options.items()) == {"ACTIVATIONS_SCALE_FACTOR": "8.0"}
    export(source, tmp_path, Request("bf16"))
    options = ov.Core().read_model(tmp_path / MODEL).get_rt_info(["runtime_options"]).value
    assert set(options.keys()) == {"ACTIVATIONS_SCALE_FACTOR", "KV_CACHE_PRECISION"}


def test_optimum_loads_and_generates(tiny_model: Callable[..., Path], tmp_path: Path) -> None:
    import torch
    from optimum.intel import OVModelForCausalLM

    source = tiny_model("glm", **SIZE)
    export(source, tmp_path, Request("bf16"))
    shutil.copy(source / "config.json", tmp_path)
    model = OVModelForCausalLM.from_pretrained(tmp_path, ov_config={"EXECUTION_MODE_HINT": "ACCURACY"})
    prompt = torch.tensor([IDS[:8]])
    made = model.generate(prompt, max_new_tokens=8, do_sample=False, eos_token_id=-1)
    expected = torch_model(source).generate(prompt, max_new_tokens=8, do_sample=False, eos_token_id=-1)
    assert made.tolist() == expected.tolist()


def edited(source: Path, folder: Path, change: Callable[[dict[str, Any]], None], **config: Any) -> Path:
    """Copy a checkpoint with other tensors or other values in config.json."""
    from safetensors.torch import load_file, save_file

    shutil.copytree(source, folder)
    tensors = load_file(folder / "model.safetensors")
    change(tensors)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    settings = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(settings | config))
    return folder


Change = Callable[[dict[str, Any]], None]
KEY = "model.layers.1.mlp.down_proj.weight"
NORM = "model.layers.1.input_layernorm.weight"


def _nan(name: str) -> Change:
    def change(tensors: dict[str, Any]) -> None:
        tensors[name].view(-1)[5] = float("nan")

    return change


@pytest.mark.parametrize("name", [KEY, NORM])
@pytest.mark.parametrize("options", [{}, {"compressor": "nncf"}, {"precision": "bf16"}, {"ratio": 0.8}], ids=str)
def test_a_nan_is_named(name: str, options: dict[str, Any], tiny_model: Callable[..., Path], tmp_path: Path) -> None:
    source = edited(tiny_model("llama", **SIZE), tmp_path / "damaged", _nan(name))
    request = Request(options.get("precision", "int4"), ratio=options.get("ratio"))
    with pytest.raises(CheckpointError, match=name.replace(".", r"\.")):
        export(source, tmp_path / "out", request, compressor=options.get("compressor", "auto"))


def test_a_tensor_without_a_place_is_an_error(tiny_model: Callable[..., Path], tmp_path: Path) -> None:
    import torch

    def add(tensors: dict[str, Any]) -> None:
        tensors["model.vision.patch.weight"] = torch.zeros(4, 4)

    source = edited(tiny_model("llama", **SIZE), tmp_path / "extra", add)
    with pytest.raises(CheckpointError, match=r"no place in LlamaForCausalLM.*model\.vision\.patch\.weight"):
        export(source, tmp_path / "out", Request("int4"))


def test_what_transformers_would_drop_in_silence_is_an_error(
    tiny_model: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch
    from transformers import LlamaForCausalLM

    def add(tensors: dict[str, Any]) -> None:
        tensors["model.mtp.weight"] = torch.zeros(4, 4)

    monkeypatch.setattr(LlamaForCausalLM, "_keys_to_ignore_on_load_unexpected", [r"model\.mtp.*"])
    source = edited(tiny_model("llama", **SIZE), tmp_path / "extra", add)
    with pytest.raises(CheckpointError, match=r"model\.mtp\.weight"):
        export(source, tmp_path / "out", Request("int4"))


def test_buffers_of_old_checkpoints_are_left_out(tiny_model: Callable[..., Path], tmp_path: Path) -> None:
    import torch

    def add(tensors: dict[str, Any]) -> None:
        tensors["model.layers.0.self_attn.rotary_emb.inv_freq"] = torch.zeros(32)
        tensors["model.layers.0.attn.masked_bias"] = torch.zeros(1, dtype=torch.bool)

    plain = tiny_model("llama", **SIZE)
    export(edited(plain, tmp_path / "old", add), tmp_path / "out", Request("int8"))
    export(plain, tmp_path / "plain", Request("int8"))
    assert sha256(tmp_path / "out" / BIN) == sha256(tmp_path / "plain" / BIN)


def test_a_missing_tensor_is_an_error(tiny_model: Callable[..., Path], tmp_path: Path) -> None:
    source = edited(tiny_model("llama", **SIZE), tmp_path / "poor", lambda tensors: tensors.pop(KEY))
    with pytest.raises(CheckpointError, match=r"lacks 1 tensors.*down_proj"):
        export(source, tmp_path / "out", Request("int4"))


def test_a_tensor_of_another_shape_is_an_error(tiny_model: Callable[..., Path], tmp_path: Path) -> None:
    def cut(tensors: dict[str, Any]) -> None:
        tensors[KEY] = tensors[KEY][:, :-8].contiguous()

    source = edited(tiny_model("llama", **SIZE), tmp_path / "odd", cut)
    with pytest.raises(CheckpointError, match=r"down_proj\.weight is \[256, 376\].*\[256, 384\]"):
        export(source, tmp_path / "out", Request("int4"))


def test_a_tied_head_may_be_stored_if_it_is_equal(tiny_model: Callable[..., Path], tmp_path: Path) -> None:
    def tie(tensors: dict[str, Any]) -> None:
        tensors["lm_head.weight"] = tensors["model.embed_tokens.weight"].clone()

    plain = tiny_model("llama", **SIZE)
    equal = edited(plain, tmp_path / "equal", tie, tie_word_embeddings=True)
    export(equal, tmp_path / "out", Request("int8"))
    different = edited(plain, tmp_path / "different", lambda _: None, tie_word_embeddings=True)
    with pytest.raises(CheckpointError, match=r"lm_head\.weight is tied to model\.embed_tokens\.weight"):
        export(different, tmp_path / "out", Request("int8"))


@pytest.mark.parametrize("tied", [False, True])
def test_the_plan_knows_the_weights_without_a_graph(
    tied: bool, tiny_model: Callable[..., Path], tmp_path: Path
) -> None:
    source = tiny_model("qwen3", **SIZE, tie_word_embeddings=tied)
    guessed = {weight.name: weight for weight in trace.weights(open_checkpoint(source))}
    exported = export(source, tmp_path, Request("int4", group_size=64))
    assert {name: list(w.shape) for name, w in guessed.items()} == {
        entry.name: entry.shape for entry in exported.tensors if len(entry.shape) == 2
    }
    assert [w.name for w in guessed.values() if w.is_last] == [
        "model.embed_tokens.weight" if tied else "lm_head.weight"
    ]
    assert [w.name for w in guessed.values() if w.role == "embedding"] == ["model.embed_tokens.weight"]
