"""The stream engine against torch, against NNCF, and against the runtime that a user has."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from edgeconv.convert.families import decoder, streamed
from edgeconv.convert.open_checkpoint import open_checkpoint
from edgeconv.convert.openvino import stream
from edgeconv.core.errors import CheckpointError
from edgeconv.core.progress import Silent
from edgeconv.quantize.scheme import Request, resolve

from ...ir import Runner, constants, torch_logits, torch_model, weights

CONVERSION = 1e-3
"""max |Δlogit| between the IR in ACCURACY mode and torch float32 holding the IR's own weights."""
FULL_PRECISION = 3e-4
"""max |Δlogit| between a bf16 IR in ACCURACY mode and torch float32."""
IDS = np.random.default_rng(7).integers(5, 4000, 200).tolist()
MODEL = "openvino_model.xml"


def export(source: Path, out: Path, request: Request, **options: str) -> Path:
    checkpoint = open_checkpoint(source)
    described = decoder(checkpoint.config)
    stream.check(checkpoint, described)
    out.mkdir(exist_ok=True)
    stream.export(checkpoint, described, resolve(request), out, progress=Silent(), **options)
    return out / MODEL


@pytest.mark.parametrize("model_type", streamed())
@pytest.mark.parametrize(
    "request_",
    [Request("bf16"), Request("int8"), Request("int4", group_size=32, group_size_fallback="ignore")],
    ids=lambda r: r.precision,
)
def test_conversion_error_of_every_family(
    model_type: str, request_: Request, tiny_model: Callable[..., Path], tmp_path: Path
) -> None:
    source = tiny_model(model_type)
    runner = Runner(export(source, tmp_path / "ir", request_))
    exact = torch_model(source, weights(tmp_path / "ir" / MODEL))
    logits = runner.logits(IDS)
    assert np.abs(logits - torch_logits(exact, IDS)).max() < CONVERSION
    if request_.precision == "bf16":
        assert np.abs(logits - torch_logits(torch_model(source), IDS)).max() < FULL_PRECISION
    assert np.abs(runner.decode(IDS[:24]) - runner.logits(IDS[:24])).max() < CONVERSION


VARIANTS = {
    "tied": ("llama", {"tie_word_embeddings": True}),
    "one kv head": ("glm", {"num_key_value_heads": 1}),
    "as many kv heads": ("llama", {"num_key_value_heads": 4}),
    "half rotary, biases": ("glm", {"attention_bias": True, "partial_rotary_factor": 0.5,
                            "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0, "partial_rotary_factor": 0.5}}),
    "all biases": ("llama", {"attention_bias": True, "mlp_bias": True}),
    "gelu": ("llama", {"hidden_act": "gelu_pytorch_tanh"}),
    "exact gelu": ("llama", {"hidden_act": "gelu"}),
    "linear rope": ("llama", {"rope_parameters": {"rope_type": "linear", "rope_theta": 5e5, "factor": 4.0}}),
    "llama3 rope": ("llama", {"rope_parameters": {
        "rope_type": "llama3", "rope_theta": 5e5, "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
        "original_max_position_embeddings": 64}}),
    "head wider than hidden / heads": ("qwen3", {"head_dim": 32}),
    "float16": ("llama", {"dtype": "float16"}),
    "float32": ("glm", {"dtype": "float32"}),
    "three shards": ("glm", {"max_shard_size": "300KB"}),
}  # fmt: skip


@pytest.mark.parametrize("name", VARIANTS)
def test_variants_of_the_block(name: str, tiny_model: Callable[..., Path], tmp_path: Path) -> None:
    model_type, overrides = VARIANTS[name]
    source = tiny_model(model_type, **overrides)
    logits = Runner(export(source, tmp_path / "ir", Request("fp32"))).logits(IDS)
    assert np.abs(logits - torch_logits(torch_model(source), IDS)).max() < FULL_PRECISION


COMPRESSED = [
    Request("int4_sym", group_size=128),
    Request("int4_asym", group_size=64, ratio=0.8),
    Request("int4_sym", group_size=32, ratio=0.6),
    Request("int4_asym", group_size=-1, ratio=0.8),
    Request("int4_sym", all_layers=True, ratio=0.8),
    Request("int4_sym", backup_precision="none"),
    Request("int4_asym", backup_precision="int8_sym", ratio=0.6),
    Request("int8"),
    Request("int8_sym"),
]


@pytest.mark.parametrize("request_", COMPRESSED, ids=repr)
@pytest.mark.parametrize(("model_type", "tied"), [("glm", True), ("llama", False)])
def test_constants_are_those_of_nncf(
    model_type: str, tied: bool, request_: Request, tiny_model: Callable[..., Path], tmp_path: Path
) -> None:
    source = tiny_model(
        model_type, hidden_size=256, head_dim=64, intermediate_size=384, tie_word_embeddings=tied, num_hidden_layers=3
    )
    ours = constants(export(source, tmp_path / "ours", request_))
    theirs = constants(export(source, tmp_path / "theirs", request_, compressor="nncf"))
    assert ours == theirs


def test_built_in_model_is_equal_at_its_makers_scheme(builtin_model: Path, tmp_path: Path) -> None:
    request = Request("int4", group_size=128, ratio=0.8, sym=True)
    ours = constants(export(builtin_model, tmp_path / "ours", request))
    assert ours == constants(export(builtin_model, tmp_path / "theirs", request, compressor="nncf"))
    kinds = {kind for kind, _, _ in ours.values()}
    assert {"i4", "u8"} <= kinds


def test_fused_rows_give_the_same_logits_and_the_same_quantized_rows(builtin_model: Path, tmp_path: Path) -> None:
    request = Request("int4_sym", ratio=0.8)
    plain = export(builtin_model, tmp_path / "plain", request)
    fused = export(builtin_model, tmp_path / "fused", request, rope="fused")
    assert np.abs(Runner(plain).logits(IDS) - Runner(fused).logits(IDS)).max() < 1e-3
    name = "model.layers.0.self_attn.q_proj.weight"
    before, after = weights(plain)[name], weights(fused)[name]
    order = stream.row_orders(decoder(open_checkpoint(builtin_model).config))[name]
    assert np.array_equal(before[order], after)
    assert sorted(order) == list(range(len(order)))


def test_fused_rows_are_fused_by_the_runtime(builtin_model: Path, tmp_path: Path) -> None:
    import openvino as ov

    def rotary_nodes(path: Path) -> int:
        nodes = ov.Core().compile_model(path, "CPU").get_runtime_model().get_ops()
        return sum(str(node.get_rt_info()["layerType"].astype(str)) == "RoPE" for node in nodes)

    layers = 6
    assert rotary_nodes(export(builtin_model, tmp_path / "fused", Request("int8"), rope="fused")) == 2 * layers


def test_attention_is_fused_with_its_cache(builtin_model: Path, tmp_path: Path) -> None:
    import openvino as ov

    model = ov.Core().compile_model(export(builtin_model, tmp_path / "ir", Request("int4")), "CPU").get_runtime_model()
    kinds = [str(node.get_rt_info()["layerType"].astype(str)) for node in model.get_ops()]
    assert kinds.count("ScaledDotProductAttention") == 6
    assert kinds.count("RMS") == 13


def test_positions_beyond_4096_do_not_rot(builtin_model: Path, tmp_path: Path) -> None:
    """The last hundred tokens look back at the first ones over 4,500 positions: frequencies in float32 miss by 3e-4 there."""
    ids = np.random.default_rng(3).integers(5, 4000, 200).tolist()
    positions = [*range(100), *range(4500, 4600)]
    logits = Runner(export(builtin_model, tmp_path / "ir", Request("bf16"))).logits(ids, positions=positions)
    difference = np.abs(logits - torch_logits(torch_model(builtin_model), ids, positions))
    assert difference.max() < 1e-4


@pytest.mark.slow
@pytest.mark.parametrize(
    ("form", "precision"),
    [("smollm2_llama", "bf16"), ("smollm2_glm", "bf16"), ("smollm2_llama", "int8"), ("smollm2_glm", "int4")],
)
def test_real_weights(form: str, precision: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    source = request.getfixturevalue(form)
    path = export(source, tmp_path / "ir", Request(precision))
    runner = Runner(path)
    exact = torch_model(source, weights(path))
    assert np.abs(runner.logits(IDS) - torch_logits(exact, IDS)).max() < CONVERSION
    if precision == "bf16":
        assert np.abs(runner.logits(IDS) - torch_logits(torch_model(source), IDS)).max() < FULL_PRECISION
    assert np.abs(runner.decode(IDS[:32]) - runner.logits(IDS[:32])).max() < CONVERSION


def test_shards_do_not_change_a_byte(tiny_model: Callable[..., Path], tmp_path: Path) -> None:
    whole, cut = tiny_model("glm"), tiny_model("glm", max_shard_size="300KB")
    assert len(list(cut.glob("*.safetensors"))) > 2
    one = export(whole, tmp_path / "one", Request("int4", group_size=32))
    two = export(cut, tmp_path / "two", Request("int4", group_size=32))
    assert one.read_bytes() == two.read_bytes()
    assert one.with_suffix(".bin").read_bytes() == two.with_suffix(".bin").read_bytes()


def test_a_tensor_without_a_place_is_refused(tiny_model: Callable[..., Path], tmp_path: Path) -> None:
    from safetensors.numpy import save_file
    from safetensors.torch import load_file

    source = shutil.copytree(tiny_model("llama"), tmp_path / "model")
    tensors = {name: t.float().numpy() for name, t in load_file(source / "model.safetensors").items()}
    tensors["model.vision.adapter.boi"] = np.zeros((1, 1, 64), np.float32)
    save_file(tensors, source / "model.safetensors")
    with pytest.raises(CheckpointError, match=r"model\.vision\.adapter\.boi"):
        export(source, tmp_path / "ir", Request("int4", group_size=32))


@pytest.mark.parametrize("same", [True, False])
def test_a_stored_head_of_a_tied_model_must_be_the_embedding(
    same: bool, tiny_model: Callable[..., Path], tmp_path: Path
) -> None:
    from safetensors.torch import load_file, save_file

    source = shutil.copytree(tiny_model("llama", tie_word_embeddings=True), tmp_path / "model")
    tensors = load_file(source / "model.safetensors")
    tensors["lm_head.weight"] = tensors["model.embed_tokens.weight"].clone() * (1 if same else 2)
    save_file(tensors, source / "model.safetensors")
    if same:
        assert export(source, tmp_path / "ir", Request("int8")).is_file()
    else:
        with pytest.raises(CheckpointError, match="tied"):
            export(source, tmp_path / "ir", Request("int8"))
