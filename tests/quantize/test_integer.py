"""Our arithmetic against NNCF's own functions, byte for byte, and the kernels against numpy."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeconv.core.errors import CheckpointError
from edgeconv.quantize import integer, native

MODES = ("int4_sym", "int4_asym", "int8_sym", "int8_asym")


def bfloat16(values: np.ndarray) -> np.ndarray:
    return (np.ascontiguousarray(values, np.float32).view(np.uint32) >> 16).astype(np.uint16)


def hard_cases(rows: int, cols: int, seed: int = 0) -> np.ndarray:
    """Bell-shaped, heavy-tailed, sparse, one-sided, constant and all-zero rows."""
    rng = np.random.default_rng(seed)
    w = rng.standard_normal((rows, cols)).astype(np.float32) * rng.uniform(1e-3, 0.2, (rows, 1)).astype(np.float32)
    w[1::8] = rng.standard_t(2, (len(w[1::8]), cols)) * 0.02
    w[2::8] *= rng.random((len(w[2::8]), cols)) < 0.05
    w[3::8] = np.abs(w[3::8])
    w[4::8] = -np.abs(w[4::8])
    w[5::8] = 0.125
    w[6::8] = 0
    w[7::8] *= 1e-8
    return w


def nncf_compress(weights: np.ndarray, mode: str, group: int):
    import nncf
    import openvino as ov
    from nncf.quantization.algorithms.weight_compression.config import WeightCompressionConfig
    from nncf.quantization.algorithms.weight_compression.weight_lowering import compress_weight
    from nncf.tensor import Tensor

    kind = {np.dtype(np.uint16): ov.Type.bf16, np.dtype(np.float16): ov.Type.f16, np.dtype(np.float32): ov.Type.f32}
    tensor = Tensor(ov.Tensor(weights, list(weights.shape), kind[weights.dtype]))
    config = WeightCompressionConfig(nncf.CompressWeightsMode(mode), group)
    done = compress_weight(tensor, (1,), config)
    values = np.asarray(done.tensor.as_numpy_tensor().data)
    zero = None if done.zero_point is None else np.asarray(done.zero_point.as_numpy_tensor().data)
    return values, np.asarray(done.scale.as_numpy_tensor().data), zero


GROUPS = [(256, 32), (256, 64), (256, 128), (192, 96), (63, 21)]
LAYOUTS = [(mode, cols, -1) for mode in MODES for cols in (256, 217)]
LAYOUTS += [(mode, *layout) for mode in MODES if mode.startswith("int4") for layout in GROUPS]  # 8 bits have no groups


@pytest.mark.parametrize("kind", [np.uint16, np.float16, np.float32], ids=["bf16", "fp16", "fp32"])
@pytest.mark.parametrize(("mode", "cols", "group"), LAYOUTS)
def test_every_byte_is_that_of_nncf(mode: str, cols: int, group: int, kind: type) -> None:
    weights = hard_cases(200, cols)  # large enough for NNCF's optimized path, which real layers take
    weights = bfloat16(weights) if kind is np.uint16 else weights.astype(kind)
    ours = integer.compress(weights, mode, group)
    values, scale, zero_point = nncf_compress(weights, mode, group)
    flat = values.reshape(-1)
    expected = integer.pack(flat) if mode.startswith("int4") else flat.view(np.uint8)
    assert ours.data.tobytes() == expected.tobytes()
    assert ours.scale.tobytes() == scale.astype(np.float16).tobytes()
    if zero_point is not None:
        assert ours.zero_point is not None
        assert ours.zero_point.tobytes() == zero_point.astype(np.uint8).tobytes()


@pytest.mark.parametrize("mode", MODES)
def test_small_tensors_take_nncfs_other_path_and_agree_too(mode: str) -> None:
    weights = bfloat16(hard_cases(16, 64))
    ours = integer.compress(weights, mode, -1)
    values, scale, _ = nncf_compress(weights, mode, -1)
    expected = integer.pack(values.reshape(-1)) if mode.startswith("int4") else values.reshape(-1).view(np.uint8)
    assert ours.data.tobytes() == expected.tobytes()
    assert ours.scale.tobytes() == scale.astype(np.float16).tobytes()


@settings(max_examples=60, deadline=None)
@given(
    rows=st.integers(1, 9),
    groups=st.integers(1, 5),
    group=st.integers(1, 70),
    seed=st.integers(0, 2**20),
    mode=st.sampled_from(MODES),
)
def test_kernels_equal_numpy(rows: int, groups: int, group: int, seed: int, mode: str) -> None:
    if native.load() is None:
        pytest.skip("the kernels are not built")
    weights = bfloat16(hard_cases(rows, groups * group, seed))
    ours = integer.compress(weights, mode, group)
    plain = integer._compress_numpy(integer.to_float32(weights), int(mode[3]), mode.endswith("_sym"), group)
    assert ours.data.tobytes() == plain.data.tobytes()
    assert ours.scale.tobytes() == plain.scale.tobytes()
    assert (ours.zero_point is None) == (plain.zero_point is None)
    if ours.zero_point is not None and plain.zero_point is not None:
        assert ours.zero_point.tobytes() == plain.zero_point.tobytes()


def test_error_is_nncfs_to_float32_accuracy(monkeypatch: pytest.MonkeyPatch) -> None:
    import openvino as ov
    from nncf.quantization.algorithms.weight_compression.config import WeightCompressionConfig
    from nncf.quantization.algorithms.weight_compression.weight_lowering import get_integer_quantization_error
    from nncf.tensor import Tensor

    weights = bfloat16(hard_cases(200, 257))
    tensor = Tensor(ov.Tensor(weights, [200, 257], ov.Type.bf16))
    expected = get_integer_quantization_error(tensor, (1,), WeightCompressionConfig(), "max_mean")
    assert integer.int8_error(weights) == pytest.approx(expected, rel=2e-6)
    monkeypatch.setattr(native, "load", lambda: None)
    assert integer.int8_error(weights) == pytest.approx(expected, rel=2e-6)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("fallback", [False, True], ids=["kernels", "numpy"])
def test_non_finite_weights_are_refused(bad: float, fallback: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if fallback:
        monkeypatch.setattr(native, "load", lambda: None)
    weights = hard_cases(4, 64)
    weights[3, 63] = bad
    for values in (weights, bfloat16(weights)):
        for call in (
            lambda v: integer.compress(v, "int4_sym", 32),
            integer.int8_error,
            integer.require_finite,
        ):
            with pytest.raises(CheckpointError, match="NaN or infinite"):
                call(values)
