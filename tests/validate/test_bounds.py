"""The bounds of check 0 are those of the formats' arithmetic: a true quantizer stays within them on any row, one beyond shows.

The rows are made to be hard: any magnitude from below float16's smallest number to 40,000 (so that scales are subnormal, zero or
coarse in half precision), outliers, constants, one sign, zeros, groups of different magnitudes side by side.
"""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeconv.convert.gguf.read import decode
from edgeconv.quantize import integer
from edgeconv.quantize.ggml.types import TYPES
from edgeconv.runtimes.onnx_graph import Constant
from edgeconv.validate.weights.allowed import error_bound as of_graph
from edgeconv.validate.weights.constant import StoredWeight
from edgeconv.validate.weights.gguf_allowed import error_bound as of_gguf

from ..quantize.ggml import oracle

KINDS = [name for name, kind in TYPES.items() if kind.quantized]
MODES = ("int4_sym", "int4_asym", "int8_sym", "int8_asym")
SHAPES = ("bell", "heavy", "outlier", "constant", "one sign", "sparse", "zeros", "ties", "offset")


@st.composite
def hard_rows(draw: Any, cols: int) -> np.ndarray:
    """float32 [4, cols], every 32 columns of a kind and of a magnitude of their own, or the row of one."""
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    size = draw(st.sampled_from([32, 256, cols]))
    pieces = []
    for _ in range(cols // size):
        kind = draw(st.sampled_from(SHAPES))
        values = random.standard_normal((4, size))
        if kind == "heavy":
            values = random.standard_t(2, (4, size))
        elif kind == "outlier":
            values[:, draw(st.integers(0, size - 1))] *= draw(st.sampled_from([30.0, 1e3, 1e5]))
        elif kind == "constant":
            values[:] = draw(st.sampled_from([1.0, -1.0, 1 / 3]))
        elif kind == "one sign":
            values = np.abs(values) * draw(st.sampled_from([1, -1]))
        elif kind == "sparse":
            values *= random.random((4, size)) < 0.05
        elif kind == "zeros":
            values[:] = draw(st.sampled_from([0.0, -0.0]))
        elif kind == "ties":
            values = random.integers(-17, 18, (4, size)) / 16
        elif kind == "offset":
            values = values * 1e-3 + draw(st.sampled_from([5, -5]))
        largest = max(np.abs(values).max(), 1e-30)
        pieces.append(values * (10.0 ** draw(st.floats(-12, 4.6)) / largest))
    with np.errstate(under="ignore"):
        return np.concatenate(pieces, axis=1).astype(np.float32)


def worst(error: np.ndarray, bound: np.ndarray) -> float:
    return float(np.max(np.where(error > 0, error / np.maximum(np.broadcast_to(bound, error.shape), 1e-45), 0)))


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_llama_cpps_own_quantizer_stays_within_the_bound(kind: str, data: st.DataObject) -> None:
    rows = data.draw(hard_rows(512))
    blocks = oracle.quantize(rows, kind)
    if not oracle.scales_are_finite(blocks, kind).all():
        return  # ggml refuses such a row, and so do we
    bound = of_gguf(kind, blocks, rows, exact=False)
    assert bound is not None
    assert worst(np.abs(decode(blocks, kind, "w") - rows), bound) <= 1


@pytest.mark.parametrize("kind", [kind for kind in KINDS if TYPES[kind].weighted])
@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_it_does_so_with_an_importance_matrix(kind: str, data: st.DataObject) -> None:
    rows = data.draw(hard_rows(512))
    random = np.random.default_rng(data.draw(st.integers(0, 999)))
    importance = np.exp(random.standard_normal(512) * data.draw(st.sampled_from([0.5, 2.0]))).astype(np.float32)
    blocks = oracle.quantize(rows, kind, importance)
    if not oracle.scales_are_finite(blocks, kind).all():
        return
    bound = of_gguf(kind, blocks, rows, exact=False, weighted=True)
    assert bound is not None
    assert worst(np.abs(decode(blocks, kind, "w") - rows), bound) <= 1


def stored(mode: str, rows: np.ndarray, group: int, scale_type: type) -> StoredWeight:
    """What our own quantizer, which has NNCF's bytes, makes of rows."""
    made = integer.compress(rows, mode, group, scale_type=scale_type)
    element = ("i" if mode.endswith("_sym") else "u") + mode[3]
    groups = made.scale.shape[1]
    shape = (len(rows), groups, rows.shape[1] // groups)
    kind = {np.float16: "f16", np.float32: "f32"}[scale_type]
    scale = Constant("scale", kind, (len(rows), groups, 1), made.scale.reshape(-1))
    zero = None
    if made.zero_point is not None:
        zero = Constant("zero", "u8", (len(rows), groups, 1), made.zero_point.reshape(-1))
    return StoredWeight(Constant("w", element, shape, made.data), rows.shape, zero, [scale])


def bound_of(weight: StoredWeight, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Error and bound of every element, in the stored shape."""
    source = rows.reshape(weight.stored_shape)
    levels, scale = weight.levels(0, len(rows)), weight.scale(0, len(rows))
    bound = of_graph(weight, levels, scale, source, exact=False)
    return np.abs(weight.weights(0, len(rows)) - source), np.broadcast_to(bound, source.shape)


@pytest.mark.parametrize("scale_type", [np.float16, np.float32])
@pytest.mark.parametrize("group", [32, 128, -1])
@pytest.mark.parametrize("mode", MODES)
@settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_nncfs_arithmetic_stays_within_the_bound(mode: str, group: int, scale_type: type, data: st.DataObject) -> None:
    rows = data.draw(hard_rows(256))
    weight = stored(mode, rows, group, scale_type)
    if not np.isfinite(weight.scales[0].data).all():
        return
    assert worst(*bound_of(weight, rows)) <= 1


@pytest.mark.parametrize("scale_type", [np.float16, np.float32])
@pytest.mark.parametrize("mode", MODES)
@settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_an_error_a_little_beyond_the_bound_shows(mode: str, scale_type: type, data: st.DataObject) -> None:
    """One level more or less than the nearest, in any group whose step is not lost among float16's smallest numbers."""
    rows = data.draw(hard_rows(256))
    weight = stored(mode, rows, 32, scale_type)
    scale = weight.scale(0, len(rows))
    assert scale is not None
    sure = np.broadcast_to((np.abs(scale) > 2.0**-14) & np.isfinite(scale), weight.stored_shape)
    levels, bits = weight.levels(0, len(rows)), int(mode[3])
    source = rows.reshape(weight.stored_shape)
    bound = np.broadcast_to(of_graph(weight, levels, scale, source, exact=False), source.shape)
    with np.errstate(invalid="ignore", over="ignore"):
        moved = [np.abs((levels + by) * scale - source) for by in (2, -2)]
    for error in moved:  # a level of the outermost may be two off for a value that it clipped
        assert (error > bound)[sure & (np.abs(levels) < 2 ** (bits - 1) - 2)].all()


@pytest.mark.parametrize("kind", ["q4_0", "q5_0", "q8_0", "q6_k"])
@settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_weights_a_step_away_show(kind: str, data: st.DataObject) -> None:
    """Half a step and a tenth more shows wherever the range of a group holds the value and its scale is a normal float16."""
    rows = data.draw(hard_rows(512))
    blocks = oracle.quantize(rows, kind)
    if not oracle.scales_are_finite(blocks, kind).all():
        return
    held = decode(blocks, kind, "w")
    groups = rows.reshape(-1, TYPES[kind].group or 1)
    spread = np.abs(groups).max(axis=1, keepdims=True)
    bits = int(kind[1])
    step = np.broadcast_to(2 * spread / (2**bits - 2), groups.shape).reshape(rows.shape)
    other = np.asarray(held - np.sign(held) * step * 1.1, np.float32)  # toward zero, so inside the range
    bound = of_gguf(kind, blocks, other, exact=False)
    assert bound is not None
    halves = np.abs(held) > np.broadcast_to(spread / 4, groups.shape).reshape(rows.shape)
    sure = halves & (step > 2.0**-12 * (64 if kind.endswith("k") else 1))
    assert (np.abs(other - held) > bound)[sure].all()
