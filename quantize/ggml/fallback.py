"""Engines for installations without the compiled kernels: a packaged ggml, and numpy for the types that it can do.

`libggml-python` (PyPI) is llama.cpp's own C code in a wheel. The `gguf` package quantizes the types of the first
generation in numpy, bit for bit as ggml does.
"""

from __future__ import annotations

import ctypes
import functools
import importlib.metadata
import importlib.util
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from ...core.errors import UsageError
from ..integer import to_float32
from .engine import Array, Engine, Outcome
from .types import Type

PACKAGE = "libggml-python==0.20.2.post1"
"""The packaged ggml that the tests compare with."""
_LEGACY = ("q4_0", "q4_1", "q5_0", "q5_1", "q8_0")
TOO_LARGE = 2.0**30
"""More than any block of float16 scales can hold. Far beyond it squares overflow, and ggml writes zeros without a word."""
_PIECE = 1 << 20
"""Weights that are widened to float32 at a time."""


class PackagedGgml:
    """`ggml_quantize_chunk` of an installed libggml-python; ctypes releases the interpreter's lock meanwhile."""

    def __init__(self, lib: ctypes.CDLL, version: str) -> None:
        self._lib = lib
        self.name = f"libggml-python {version}"

    def supports(self, kind: Type, weighted: bool) -> bool:
        """All quantized types, with importance and without."""
        return kind.quantized

    def run(self, rows: Array, kind: Type, importance: Array | None, out: Array) -> Outcome:
        """Quantize; see Engine."""
        weights = None if importance is None else importance.ctypes.data

        def piece(values: Array, target: Array) -> None:
            self._lib.ggml_quantize_chunk(
                kind.number, values.ctypes.data, target.ctypes.data, 0, *values.shape, weights
            )  # fmt: skip

        return _in_pieces(rows, kind, out, piece)


class GgufNumpy:
    """The `gguf` package's numpy quantizers: the legacy types without importance."""

    name = "gguf's numpy quantizers"

    def supports(self, kind: Type, weighted: bool) -> bool:
        """Legacy types without importance."""
        return kind.name in _LEGACY and not weighted

    def run(self, rows: Array, kind: Type, importance: Array | None, out: Array) -> Outcome:
        """Quantize; see Engine."""
        from gguf import GGMLQuantizationType, quants

        def piece(values: Array, target: Array) -> None:
            with np.errstate(all="ignore"):  # subnormal scales have no inverse; ggml does not mind either
                target[:] = quants.quantize(values + np.float32(0), GGMLQuantizationType(kind.number))
            if len(kind.scales) > 1:
                _sign_of_zero_minima(values, kind, target)

        return _in_pieces(rows, kind, out, piece)


class Floats:
    """f32, f16 and bf16 in numpy."""

    name = "numpy"

    def supports(self, kind: Type, weighted: bool) -> bool:
        """Floating point only."""
        return not kind.quantized

    def run(self, rows: Array, kind: Type, importance: Array | None, out: Array) -> Outcome:
        """Convert; see Engine."""

        def piece(values: Array, target: Array) -> None:
            target[:] = _stored_floats(values, kind.name).view(np.uint8)

        return _in_pieces(rows, kind, out, piece)


@functools.cache
def engines() -> tuple[Engine, ...]:
    """Return those that this installation has, the fastest first.

    Raises:
        UsageError: an installed libggml-python cannot be loaded.
    """
    found: list[Engine] = []
    if (lib := _packaged()) is not None:
        found.append(PackagedGgml(lib, importlib.metadata.version("libggml-python")))
    if importlib.util.find_spec("gguf") is not None:
        found.append(GgufNumpy())
    return (*found, Floats())


def _stored_floats(values: Array, name: str) -> Array:
    if name == "f16":
        with np.errstate(over="ignore"):
            return values.astype(np.float16)
    if name == "bf16":
        bits = values.view(np.uint32)
        return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16)
    return values


def _packaged() -> ctypes.CDLL | None:
    spec = importlib.util.find_spec("libggml")
    if spec is None or not spec.submodule_search_locations:
        return None
    (folder, *_) = spec.submodule_search_locations
    names = sorted(path for path in Path(folder).rglob("*ggml-base*") if path.suffix in {".so", ".dylib", ".dll"})
    try:
        lib = ctypes.CDLL(str(names[0]))
        quantize = lib.ggml_quantize_chunk
    except (IndexError, OSError, AttributeError) as error:
        hint = f"pip install --force-reinstall '{PACKAGE}', or pip uninstall libggml-python."
        raise UsageError(f"The installed libggml-python cannot be loaded: {error}.", hint) from error
    pointer, size = ctypes.c_void_p, ctypes.c_int64
    quantize.restype, quantize.argtypes = ctypes.c_size_t, [ctypes.c_int, pointer, pointer, size, size, size, pointer]
    return lib


def _sign_of_zero_minima(values: Array, kind: Type, out: Array) -> None:
    """Give a minimum of zero the sign of the block's first zero, as a scan with `<` does; numpy's min is free to choose."""
    blocks = values.reshape(-1, kind.block)
    first = blocks[np.arange(len(blocks)), (blocks == 0).argmax(axis=1)]
    negative = (blocks.min(axis=1) == 0) & np.signbit(first)
    out.reshape(-1, kind.bytes)[negative, kind.scales[1] + 1] |= 0x80


def _in_pieces(rows: Array, kind: Type, out: Array, quantize: Callable[[Array, Array], None]) -> Outcome:
    """Run `quantize` on float32 pieces of whole rows; check what goes in and what comes out."""
    overflow = False
    step = max(1, _PIECE // max(1, rows.shape[1]))
    for first in range(0, len(rows), step):
        values = np.ascontiguousarray(to_float32(rows[first : first + step]))
        target = out[first : first + step]
        if not np.isfinite(values).all():
            return Outcome.NOT_FINITE
        quantize(values, target)
        overflow |= kind.quantized and float(np.abs(values).max()) > TOO_LARGE
        overflow |= not all(np.isfinite(scale).all() for scale in _scales(target, kind))
    return Outcome.OVERFLOW if overflow else Outcome.DONE


def _scales(out: Array, kind: Type) -> Iterator[Array]:
    """What must be finite in stored rows: the scales of blocks, or the floats themselves."""
    if kind.name == "bf16":
        yield to_float32(out.view(np.uint16))
    elif not kind.quantized:
        yield out.view(f"f{kind.bytes}")
    blocks = out.reshape(-1, kind.bytes)
    for offset in kind.scales:
        yield np.ascontiguousarray(blocks[:, offset : offset + 2]).view(np.float16)
