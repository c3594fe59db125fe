"""llama.cpp's own quantizer, from the wheel libggml-python, and weights that are hard on quantizers."""

import ctypes
import functools
import importlib.util
from pathlib import Path

import numpy as np

from edgeconv.quantize.ggml.types import TYPES


@functools.cache
def ggml() -> ctypes.CDLL:
    spec = importlib.util.find_spec("libggml")
    assert spec is not None and spec.submodule_search_locations, "the tests need libggml-python"
    (path,) = Path(spec.submodule_search_locations[0]).rglob("libggml-base.so")
    lib = ctypes.CDLL(str(path))
    pointer, size = ctypes.c_void_p, ctypes.c_int64
    lib.ggml_quantize_chunk.restype = ctypes.c_size_t
    lib.ggml_quantize_chunk.argtypes = [ctypes.c_int, pointer, pointer, size, size, size, pointer]
    return lib


def quantize(weights: np.ndarray, name: str, importance: np.ndarray | None = None) -> np.ndarray:
    """[rows, cols] float32 -> [rows, row bytes] uint8."""
    kind, (rows, cols) = TYPES[name], weights.shape
    out = np.empty((rows, kind.row_bytes(cols)), np.uint8)
    weights = np.ascontiguousarray(weights, np.float32)
    pointer = None if importance is None else np.ascontiguousarray(importance, np.float32).ctypes.data
    written = ggml().ggml_quantize_chunk(kind.number, weights.ctypes.data, out.ctypes.data, 0, rows, cols, pointer)
    assert written == out.size
    return out


def scales_are_finite(blocks: np.ndarray, name: str) -> np.ndarray:
    """For each stored row, whether ggml would accept it."""
    kind = TYPES[name]
    if not kind.quantized:
        values = {"f32": np.float32, "f16": np.float16, "bf16": np.uint16}[name]
        stored = blocks.view(values)
        return (stored & 0x7F80 != 0x7F80 if name == "bf16" else np.isfinite(stored)).all(axis=1)
    split = blocks.reshape(len(blocks), -1, kind.bytes)
    halves = [np.ascontiguousarray(split[:, :, at : at + 2]).view(np.float16) for at in kind.scales]
    return np.isfinite(np.concatenate(halves, axis=1)).reshape(len(blocks), -1).all(axis=1)


def hard_rows(cols: int = 768, rows: int = 9, seed: int = 0) -> np.ndarray:
    """Rows of every kind that ever made a difference; float32 [kinds * rows, cols], all finite."""
    rng = np.random.default_rng(seed)
    shape = (rows, cols)
    bell = rng.standard_normal(shape) * 0.02
    outliers = bell.copy()
    outliers[:, ::37] *= 100
    apart = bell * 10.0 ** rng.integers(-20, 5, shape)
    halves = np.nextafter((rng.integers(-126, 126, shape) + 0.5).astype(np.float32), np.float32(0))
    halves[:, ::32] = 127
    with np.errstate(under="ignore"):
        kinds = [
            bell,
            rng.standard_t(2, shape) * 0.02,
            rng.standard_cauchy(shape),
            outliers,
            bell * (rng.random(shape) < 0.05),
            bell * (rng.random(shape) < 0.005),
            np.where(rng.random(shape) < 0.5, 1e-8, bell),
            np.full(shape, 0.125),
            np.full(shape, -0.1),
            np.zeros(shape),
            np.where(rng.random(shape) < 0.5, -0.0, 0.0),
            np.abs(bell),
            -np.abs(bell),
            bell * 1e-3 - 5,
            bell * 1e-3 + 5,
            bell * 1e-6 - 1000,
            bell * 10.0 ** rng.integers(-6, 3, (rows, cols // 32)).repeat(32, axis=1),  # neighbors far apart
            apart,
            -np.abs(apart),  # with few important columns: searches whose range collapses
            halves,  # just below what rounds up
            rng.integers(-16, 17, shape) / 16,  # exact ties of 4 bits
            rng.integers(-31, 32, shape) / 2,
            rng.integers(-254, 255, shape) / 2,  # and of 8
            rng.integers(0, 16, shape) * 0.013 - 0.1,  # already on a grid
            *(bell * scale for scale in (1e-7, 1e-13, 1e-14, 1e-20, 1e-38, 1e-42)),  # down to subnormal weights
            *(bell * scale for scale in (1e4, 1e7, 1e20, 1e38)),
            rng.uniform(-3e38, 3e38, shape),
        ]
    return np.concatenate(kinds).astype(np.float32)


def importances(cols: int = 768, seed: int = 1) -> dict[str, np.ndarray | None]:
    """Importance matrices of every kind, one value a column."""
    rng = np.random.default_rng(seed)
    return {
        "none": None,
        "even": rng.random(cols).astype(np.float32),
        "heavy": np.square(rng.standard_cauchy(cols)).astype(np.float32),
        "sparse": (rng.random(cols) < 0.1).astype(np.float32),
        "huge": (10.0 ** rng.uniform(-38, 38, cols)).astype(np.float32),
        "zero": np.zeros(cols, np.float32),
    }
