"""The calls that the GGUF writer makes: shapes, threads, cuts, errors; and that the bytes mean the weights."""

from __future__ import annotations

import ctypes

import numpy as np
import pytest

from edgeconv.core.errors import CheckpointError, UsageError
from edgeconv.quantize.ggml import native, rows
from edgeconv.quantize.ggml.types import TYPES

from . import oracle

QUANTIZED = [kind.name for kind in TYPES.values() if kind.quantized]


def bell(count: int, cols: int, seed: int = 0) -> np.ndarray:
    return (np.random.default_rng(seed).standard_normal((count, cols)) * 0.02).astype(np.float32)


# Relative root mean square errors of bell-shaped weights, a little above what ggml's quantizers reach.
ERRORS = {
    "f32": 0, "f16": 3e-4, "bf16": 2e-3, "q8_0": 6e-3, "q6_k": 0.02, "q5_k": 0.04, "q5_1": 0.045, "q5_0": 0.05, "q4_k": 0.075,
    "q4_1": 0.09, "q4_0": 0.1, "iq4_nl": 0.085, "iq4_xs": 0.085, "q3_k": 0.16, "q2_k": 0.31,
}  # fmt: skip


@pytest.mark.parametrize("name", list(TYPES))
def test_the_bytes_mean_the_weights(name: str) -> None:
    """Read back by the gguf package, which has nothing of our code."""
    gguf = pytest.importorskip("gguf")
    weights = bell(16, 512)
    errors = []
    for importance in (None, np.linspace(0.1, 4, 512)):
        stored = rows.quantize(weights, name, importance)
        back = gguf.quants.dequantize(stored, gguf.GGMLQuantizationType(TYPES[name].number)).reshape(weights.shape)
        errors.append(float(np.sqrt(np.square(back - weights).mean() / np.square(weights).mean())))
    assert ERRORS[name] / 2 <= errors[0] <= ERRORS[name]
    assert errors[1] <= 1.2 * ERRORS[name]


@pytest.mark.parametrize("name", ["q4_k", "q6_k", "iq4_nl", "q2_k"])
def test_important_columns_come_out_better(name: str) -> None:
    gguf = pytest.importorskip("gguf")
    weights = bell(32, 512)
    importance = np.where(np.arange(512) % 4 == 0, 100.0, 1.0).astype(np.float32)
    errors = []
    for matrix in (None, importance):
        stored = rows.quantize(weights, name, matrix)
        back = gguf.quants.dequantize(stored, gguf.GGMLQuantizationType(TYPES[name].number)).reshape(weights.shape)
        errors.append(float((np.square(back - weights) * importance).mean()))
    assert errors[1] < 0.9 * errors[0]


@pytest.mark.parametrize("name", list(TYPES))
@pytest.mark.parametrize("threads", [1, 3])
def test_threads_and_cuts_change_nothing(name: str, threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows, "_SHARE", 512)
    weights = oracle.hard_rows(cols=256, rows=1)[:25]
    importance = oracle.importances(256)["even"]
    expected = oracle.quantize(weights, name, importance)
    assert (rows.quantize(weights, name, importance, threads) == expected).all()
    out = np.empty_like(expected)
    for first, last in ((0, 1), (1, 12), (12, 25)):
        rows.quantize_into(weights[first:last], name, out[first:last], importance)
    assert (out == expected).all()


def test_every_layout_of_rows_is_read() -> None:
    weights = bell(8, 128)
    expected = oracle.quantize(weights, "q5_1")
    for layout in (np.asfortranarray(weights), weights.astype(np.float64), np.repeat(weights, 2, axis=1)[:, ::2]):
        assert (rows.quantize(layout, "q5_1") == expected).all()


def test_no_rows() -> None:
    assert rows.quantize(np.empty((0, 256), np.float32), "q4_k").shape == (0, 144)


def test_importance_of_types_that_ignore_it() -> None:
    weights = bell(2, 64)
    assert (rows.quantize(weights, "q8_0", np.zeros(64)) == rows.quantize(weights, "q8_0")).all()


def test_the_kernels_run_without_the_interpreters_lock() -> None:
    assert not isinstance(native.load(), ctypes.PyDLL)


@pytest.mark.parametrize("name", QUANTIZED)
def test_rows_that_do_not_divide_into_blocks(name: str) -> None:
    with pytest.raises(UsageError, match=f"blocks of {TYPES[name].block} weights; rows of 80"):
        rows.quantize(np.zeros((1, 80), np.float32), name)


def test_an_unknown_type() -> None:
    with pytest.raises(UsageError, match="'q9_k' is not a ggml type") as error:
        rows.row_bytes("q9_k", 256)
    assert "q4_k" in str(error.value.hint)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
@pytest.mark.parametrize("name", ["f32", "bf16", "q8_0", "q4_k", "q4_0"])
def test_a_weight_that_is_not_finite_is_named(name: str, dtype: str, value: float) -> None:
    weights = np.zeros((40, 256), np.float32)
    weights[37, 200] = value
    stored = (weights.view(np.uint32) >> 16).astype(np.uint16) if dtype == "bfloat16" else weights.astype(dtype)
    with pytest.raises(CheckpointError, match=r"blk\.0: a weight is NaN or infinite \(row 37, column 200\)"):
        rows.quantize(stored, name, name="blk.0")
    out = np.empty((10, rows.row_bytes(name, 256)), np.uint8)
    with pytest.raises(CheckpointError, match=r"\(row 1037, column 200\)"):
        rows.quantize_into(stored[30:], name, out, first_row=1030)


@pytest.mark.parametrize(
    ("name", "value"),
    [("f16", 65520.0), ("bf16", 3.4e38), *((name, -3e38) for name in QUANTIZED), ("q8_0", 127 * 65520.0)],
)
def test_weights_that_are_too_large(name: str, value: float) -> None:
    weights = np.zeros((1, 256), np.float32)
    weights[0, 3] = value
    with pytest.raises(CheckpointError, match=f"do not fit {name}") as error:
        rows.quantize(weights, name)
    assert "bf16" in str(error.value.hint)


def test_the_largest_weights_that_fit() -> None:
    weights = np.full((1, 32), 127 * 65500.0, np.float32)
    assert (rows.quantize(weights, "q8_0") == oracle.quantize(weights, "q8_0")).all()
    assert rows.quantize(np.full((1, 4), 65519.0, np.float32), "f16").view(np.float16).max() == 65504


@pytest.mark.parametrize(
    ("importance", "message"),
    [
        (np.ones(128), "has 128 columns for rows of 256"),
        (np.full(256, np.nan), "negative or not finite"),
        (np.full(256, -1.0), "negative or not finite"),
    ],
)
def test_an_importance_that_does_not_fit(importance: np.ndarray, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        rows.quantize(bell(1, 256), "q4_k", importance)


@pytest.mark.parametrize("shape", [(2, 143), (1, 144), (2, 288)])
def test_a_buffer_of_another_shape(shape: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="out must be contiguous uint8"):
        rows.quantize_into(bell(2, 256), "q4_k", np.empty(shape, np.uint8))
