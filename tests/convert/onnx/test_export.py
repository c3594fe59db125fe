"""The ONNX engine against torch, against the IR engine's weights, against NNCF on an ONNX model, and in onnxruntime."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgeconv.convert.families import decoder, streamed
from edgeconv.convert.onnx import export as onnx_engine
from edgeconv.convert.onnx.models import cut
from edgeconv.convert.open_checkpoint import open_checkpoint
from edgeconv.convert.openvino import stream
from edgeconv.core.errors import CheckpointError, UsageError
from edgeconv.core.progress import Silent
from edgeconv.quantize.scheme import Request, resolve

from ... import ir
from ..openvino.test_stream import VARIANTS
from . import reading
from .reading import Runner

CONVERSION = 1e-3
"""max |Δlogit| between the model without approximations and torch float32 holding the model's own weights."""
FULL_PRECISION = 1e-4
"""max |Δlogit| between an uncompressed model and torch float32."""
ROUNDS = {"deepseek_v2": 1.5e-4}
"""Where torch's own float32 is further from float64 than elsewhere: 6.7e-5, of logits up to 26."""
IDS = np.random.default_rng(7).integers(5, 4000, 120).tolist()


def export(source: Path, out: Path, request: Request, **options: Any) -> Path:
    checkpoint = open_checkpoint(source)
    described = decoder(checkpoint.config)
    stream.check(checkpoint, described)
    out.mkdir(exist_ok=True)
    scheme = resolve(request)
    onnx_engine.require_expressible(scheme)
    onnx_engine.export(checkpoint, described, scheme, out, progress=Silent(), **options)
    return out


def exact_logits(source: Path, out: Path) -> np.ndarray:
    return ir.torch_logits(ir.torch_model(source, reading.weights(out)), IDS)


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
    out = export(source, tmp_path / "out", request_)
    runner = Runner(out)
    logits = runner.logits(IDS)
    assert np.abs(logits - exact_logits(source, out)).max() < CONVERSION
    if request_.precision == "bf16":
        limit = ROUNDS.get(model_type, FULL_PRECISION)
        assert np.abs(logits - ir.torch_logits(ir.torch_model(source), IDS)).max() < limit
    assert np.abs(runner.decode(IDS[:24]) - logits[:24]).max() < CONVERSION


@pytest.mark.parametrize("name", VARIANTS)
def test_variants_of_the_block(name: str, tiny_model: Callable[..., Path], tmp_path: Path) -> None:
    model_type, overrides = VARIANTS[name]
    source = tiny_model(model_type, **overrides)
    logits = Runner(export(source, tmp_path / "out", Request("fp32"))).logits(IDS)
    assert np.abs(logits - ir.torch_logits(ir.torch_model(source), IDS)).max() < FULL_PRECISION


COMPRESSED = [
    Request("int4_sym", group_size=32),
    Request("int4_asym", group_size=64, ratio=0.8),
    Request("int4_asym", group_size=96, group_size_fallback="adjust"),
    Request("int4_sym", group_size=-1, ratio=0.6),
    Request("int4_asym", group_size=-1, all_layers=True),
    Request("int4_sym", all_layers=True),
    Request("int4_sym", backup_precision="none"),
    Request("int4_asym", backup_precision="int8_sym"),
    Request("int8"),
    Request("int8_sym"),
]


@pytest.mark.parametrize("request_", COMPRESSED, ids=repr)
@pytest.mark.parametrize(("model_type", "tied"), [("glm", True), ("llama", False)])
def test_weights_are_those_of_the_ir(
    model_type: str, tied: bool, request_: Request, tiny_model: Callable[..., Path], tmp_path: Path
) -> None:
    source = tiny_model(model_type, hidden_size=192, head_dim=32, intermediate_size=576, tie_word_embeddings=tied)
    out = export(source, tmp_path / "out", request_)
    ours = reading.weights(out)
    checkpoint = open_checkpoint(source)
    (tmp_path / "ir").mkdir()
    stream.export(checkpoint, decoder(checkpoint.config), resolve(request_), tmp_path / "ir", progress=Silent())
    theirs = ir.weights(tmp_path / "ir" / "openvino_model.xml")
    assert set(ours) == set(theirs)
    for name, values in ours.items():  # the codes are the same; the IR's scales are rounded to float16
        np.testing.assert_allclose(values, theirs[name], rtol=2**-10, atol=1e-9, err_msg=name)
    assert np.abs(Runner(out).logits(IDS) - exact_logits(source, out)).max() < CONVERSION


@pytest.mark.parametrize(("mode", "group"), [("int4_sym", 32), ("int4_asym", 64), ("int8_asym", -1), ("int8_sym", -1)])
def test_values_are_those_of_nncf_on_an_onnx_model(
    mode: str, group: int, tiny_model: Callable[..., Path], tmp_path: Path
) -> None:
    import nncf
    import onnx
    from onnx import helper, numpy_helper

    source = tiny_model("llama", dtype="float32", hidden_size=128, intermediate_size=192)
    request = Request(mode, group_size=group if group > 0 else None)
    ours = reading.initializers(export(source, tmp_path / "out", request))
    name = "model.layers.1.mlp.down_proj.weight"
    weight = np.ascontiguousarray(open_checkpoint(source).tensor(name).T)
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["h"], name="one"), helper.make_node("MatMul", ["h", "v"], ["y"], name="last")],
        "g",
        [value("x", 1, [1, weight.shape[0]])],
        [value("y", 1, [1, 8])],
        [numpy_helper.from_array(weight, "w"), numpy_helper.from_array(np.ones((weight.shape[1], 8), np.float32), "v")],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    options = {"group_size": group, "all_layers": True} if mode.startswith("int4") else {}
    made = nncf.compress_weights(model, mode=nncf.CompressWeightsMode(mode), **options)
    theirs = {t.name: t for t in made.graph.initializer}
    values = numpy_helper.to_array(theirs["w_quantized"]).astype(np.int16).T
    codes = ours[name]
    if codes.ndim == 3:
        codes = reading.nibbles(codes).reshape(values.shape).astype(np.int16) - (8 if mode == "int4_sym" else 0)
    assert np.array_equal(codes.astype(np.int16), values)
    scale = numpy_helper.to_array(theirs["w_scale"])
    assert np.array_equal(ours[f"{name}/scale"].T.reshape(scale.shape), scale)
    if mode.endswith("_asym"):
        zero = numpy_helper.to_array(theirs["w_zero_point"]).astype(np.int16)
        own = ours[f"{name}/zero_point"]
        own = reading.nibbles(own)[:, : zero.shape[0]].T if own.ndim == 2 else own
        assert np.array_equal(own.astype(np.int16).reshape(zero.shape), zero)
    assert onnx.checker.check_model(made) is None


@pytest.mark.parametrize("sym", [True, False])
def test_values_are_those_of_onnxruntimes_own_quantizer(
    sym: bool, tiny_model: Callable[..., Path], tmp_path: Path
) -> None:
    from onnxruntime.capi._pybind_state import quantize_matmul_4bits

    source = tiny_model("llama", dtype="float32", hidden_size=128, intermediate_size=192)
    request = Request("int4_sym" if sym else "int4_asym", group_size=64, ratio=1.0)
    ours = reading.initializers(export(source, tmp_path / "out", request))
    name = "model.layers.1.mlp.down_proj.weight"
    weight = open_checkpoint(source).tensor(name)
    (rows, cols), size = weight.shape, 64
    values = np.zeros((rows, cols // size, size // 2), np.uint8)
    scale = np.zeros(rows * cols // size, np.float32)
    zero = np.zeros((rows, -(-cols // size // 2)), np.uint8)
    quantize_matmul_4bits(values, np.ascontiguousarray(weight.T), scale, zero.reshape(-1), size, rows, cols, sym)
    assert np.array_equal(ours[name], values)
    assert np.array_equal(ours[f"{name}/scale"].reshape(-1), scale)
    if not sym:  # the last nibble of an odd row is padding
        blocks = cols // size
        assert np.array_equal(
            reading.nibbles(ours[f"{name}/zero_point"])[:, :blocks], reading.nibbles(zero)[:, :blocks]
        )


def test_a_batch_padded_on_the_left_gives_each_its_own_logits(builtin_model: Path, tmp_path: Path) -> None:
    runner = Runner(export(builtin_model, tmp_path / "out", Request("bf16")))
    long, short = IDS[:20], IDS[30:43]
    alone = [runner.logits(long), runner.logits(short)]
    pad = len(long) - len(short)
    mask = np.ones((2, len(long)), np.int64)
    mask[1, :pad] = 0
    positions = np.maximum(mask.cumsum(axis=1) - 1, 0)
    together = runner.run(np.array([long, [0] * pad + short]), mask, positions)
    assert np.abs(together[0] - alone[0]).max() < CONVERSION
    assert np.abs(together[1, pad:] - alone[1]).max() < CONVERSION
    step = runner.run(np.array([[7], [7]]), np.pad(mask, ((0, 0), (0, 1)), constant_values=1), positions[:, -1:] + 1)
    for row, ids in enumerate((long, short)):
        assert np.abs(step[row, 0] - runner.logits([*ids, 7])[-1]).max() < CONVERSION


def test_names_shapes_and_operators(builtin_model: Path, tmp_path: Path) -> None:
    import onnx

    out = export(builtin_model, tmp_path / "out", Request("int4_sym"))
    onnx.checker.check_model(out / reading.MODEL)
    model = onnx.load(out / reading.MODEL, load_external_data=False)
    caches = [f"{layer}.{kind}" for layer in range(6) for kind in ("key", "value")]
    assert [v.name for v in model.graph.input] == [
        "input_ids", "attention_mask", "position_ids", *(f"past_key_values.{c}" for c in caches),
    ]  # fmt: skip
    assert [v.name for v in model.graph.output] == ["logits", *(f"present.{c}" for c in caches)]
    domains = {node.op_type: node.domain for node in model.graph.node}
    assert [kind for kind, domain in domains.items() if domain] == ["MatMulNBits"]
    for tensor in model.graph.initializer:
        entries = {e.key: e.value for e in tensor.external_data}
        if entries:
            assert entries["location"] == "model.onnx_data"
            assert int(entries["offset"]) % 4096 == 0
    plain = onnx.load(
        export(builtin_model, tmp_path / "plain", Request("int8")) / reading.MODEL, load_external_data=False
    )
    assert [opset.domain for opset in plain.opset_import] == [""]


def test_the_runtime_fuses_every_product_with_its_de_quantization(builtin_model: Path, tmp_path: Path) -> None:
    """A head that shares scales with the lookup would be de-quantized anew for each token."""
    import onnx
    import onnxruntime

    out = export(builtin_model, tmp_path / "out", Request("int8"))
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "optimized.onnx")
    options.log_severity_level = 3
    onnxruntime.InferenceSession(str(out / reading.MODEL), options, providers=["CPUExecutionProvider"])
    kinds = [node.op_type for node in onnx.load(tmp_path / "optimized.onnx", load_external_data=False).graph.node]
    assert kinds.count("DequantizeLinear") == 0
    assert kinds.count("SimplifiedLayerNormalization") == 13


def test_the_accuracy_level_is_the_users(builtin_model: Path, tmp_path: Path) -> None:
    out = export(builtin_model, tmp_path / "out", Request("int4_sym", all_layers=True), accuracy_level=1)
    levels = {a.i for n in reading.proto(out).graph.node for a in n.attribute if a.name == "accuracy_level"}
    assert levels == {1}
    assert np.abs(Runner(out, exact=False).logits(IDS) - Runner(out).logits(IDS)).max() < CONVERSION


@pytest.mark.parametrize(
    "request_", [Request("fp32"), Request("fp16"), Request("int8"), Request("int4_asym", group_size=64)], ids=repr
)
def test_the_size_is_known_before(request_: Request, builtin_model: Path, tmp_path: Path) -> None:
    out = export(builtin_model, tmp_path / "out", request_)
    checkpoint = open_checkpoint(builtin_model)
    size = sum(path.stat().st_size for path in out.iterdir())
    assert onnx_engine.predicted_size(checkpoint, cut(decoder(checkpoint.config), resolve(request_))) == size


def test_the_same_input_gives_the_same_bytes(builtin_model: Path, tmp_path: Path) -> None:
    one, other = (export(builtin_model, tmp_path / name, Request("int4", ratio=0.6)) for name in "ab")
    for path in one.iterdir():
        assert path.read_bytes() == (other / path.name).read_bytes(), path.name


@pytest.mark.parametrize(
    ("request_", "says"),
    [
        (Request("nf4"), "nf4"),
        (Request("int4_sym", backup_precision="fp8_e4m3"), "fp8_e4m3"),
        (Request("int4_sym", group_size=8), "MatMulNBits"),
    ],
    ids=repr,
)
def test_what_onnx_cannot_say_is_refused(request_: Request, says: str, builtin_model: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=says):
        export(builtin_model, tmp_path / "out", request_)


def test_a_weight_that_is_no_number_is_refused(builtin_model: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    source = shutil.copytree(builtin_model, tmp_path / "model")
    tensors = load_file(source / "model.safetensors")
    tensors["model.layers.3.mlp.down_proj.weight"][5, 7] = float("nan")
    save_file(tensors, source / "model.safetensors")
    for precision in ("int4", "int8", "bf16"):
        with pytest.raises(CheckpointError, match="down_proj"):
            export(source, tmp_path / precision, Request(precision))


@pytest.mark.slow
@pytest.mark.parametrize("form", ["smollm2_llama", "smollm2_glm"])
def test_a_real_model_in_full_precision(form: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    source = request.getfixturevalue(form)
    logits = Runner(export(source, tmp_path / "out", Request("fp32"))).logits(IDS)
    assert np.abs(logits - ir.torch_logits(ir.torch_model(source), IDS)).max() < FULL_PRECISION
