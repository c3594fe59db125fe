"""Every byte of every type is that of llama.cpp's own quantizer."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
import sysconfig
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

import edgeconv.quantize.ggml
from edgeconv.quantize.ggml import fallback, native
from edgeconv.quantize.ggml.engine import Array, Engine, Outcome
from edgeconv.quantize.ggml.types import TYPES
from edgeconv.quantize.integer import to_float32

from . import oracle

FOLDER = Path(edgeconv.quantize.ggml.__file__).parent


def compiled() -> native.Compiled:
    lib = native.load()
    if lib is None:
        pytest.skip("the kernels are optional and were not built")
    return native.Compiled(lib)


def written(engine: Engine, weights: Array, name: str, importance: Array | None) -> tuple[Array, Outcome]:
    kind = TYPES[name]
    out = np.full((len(weights), kind.row_bytes(weights.shape[1])), 0xAA, np.uint8)
    return out, engine.run(np.ascontiguousarray(weights), kind, importance, out)


def compare(engine: Engine, weights: Array, name: str, importance: Array | None) -> None:
    """Rows whose scales are finite are equal byte for byte; the others, which ggml rejects later, are noticed."""
    ours, outcome = written(engine, weights, name, importance)
    values = to_float32(weights)
    theirs = oracle.quantize(values, name, importance)
    sound = oracle.scales_are_finite(theirs, name)
    assert np.argwhere((ours != theirs).any(axis=1) & sound).tolist() == []
    assert (oracle.scales_are_finite(ours, name) == sound).all()
    fits = not TYPES[name].quantized or np.abs(values).max() <= fallback.TOO_LARGE
    assert outcome == (Outcome.DONE if sound.all() and fits else Outcome.OVERFLOW)


@pytest.mark.parametrize("matrix", list(oracle.importances()))
@pytest.mark.parametrize("name", list(TYPES))
def test_hard_rows(name: str, matrix: str) -> None:
    compare(compiled(), oracle.hard_rows(), name, oracle.importances()[matrix])


@pytest.mark.parametrize("kind", ["fp16", "bf16"])
@pytest.mark.parametrize("name", list(TYPES))
def test_other_dtypes_are_widened_exactly(name: str, kind: str) -> None:
    weights = oracle.hard_rows(cols=256, rows=3)
    if kind == "bf16":
        weights = (weights.view(np.uint32) >> 16).astype(np.uint16)
    else:
        weights = np.clip(weights, -65504, 65504).astype(np.float16)
    compare(compiled(), weights, name, None)
    if TYPES[name].weighted:
        compare(compiled(), weights, name, oracle.importances(256)["even"])


def test_every_half_is_widened_exactly() -> None:
    halves = np.arange(0x10000, dtype=np.uint32).astype(np.uint16).view(np.float16)
    halves = halves[np.isfinite(halves)].reshape(1, -1)
    out, outcome = written(compiled(), halves, "f32", None)
    assert outcome is Outcome.DONE
    assert (out.view(np.uint32) == halves.astype(np.float32).view(np.uint32)).all()
    back, _ = written(compiled(), halves.astype(np.float32), "f16", None)
    assert (back.view(np.uint16) == halves.view(np.uint16)).all()


@pytest.mark.parametrize("name", [kind.name for kind in TYPES.values() if kind.quantized])
@pytest.mark.parametrize("rows", [1, 5, 33])
def test_batches_that_are_not_full(name: str, rows: int) -> None:
    weights = np.random.default_rng(rows).standard_normal((rows, TYPES[name].block)).astype(np.float32)
    compare(compiled(), weights, name, None)
    compare(compiled(), weights, name, np.linspace(0.5, 2, weights.shape[1], dtype=np.float32))


def test_a_sub_block_that_takes_every_pass() -> None:
    weights = np.random.default_rng(0).standard_normal((400, 256)).astype(np.float32)[344:345] * np.float32(0.02)
    compare(compiled(), weights, "q3_k", None)


SPECIAL = [0.0, -0.0, 1.0, -1.0, 0.5, 1e-15, -1e-15, 1e-45, -1e-40, 65504.0, 1e30, -1e30, 3.4e38]
WEIGHT = st.sampled_from(SPECIAL) | st.floats(width=32, allow_nan=False, allow_infinity=False)
PALETTE = st.lists(WEIGHT, min_size=1, max_size=12)


@settings(max_examples=100, deadline=None)
@given(
    name=st.sampled_from([kind.name for kind in TYPES.values() if kind.quantized]),
    palettes=st.lists(PALETTE, min_size=1, max_size=4),
    picks=npst.arrays(np.uint8, (2, 256)),
    importance=st.none() | npst.arrays(np.float32, 256, elements=st.sampled_from([0.0, 1.0, 1e-6, 3.5, 1e12])),
)
def test_rows_of_few_values(name: str, palettes: list[list[float]], picks: Array, importance: Array | None) -> None:
    weights = np.empty((2, 256), np.float32)
    for sub in range(16):  # sub-blocks of different palettes in one super-block
        palette = np.array(palettes[sub % len(palettes)], np.float32)
        columns = slice(sub * 16, sub * 16 + 16)
        weights[:, columns] = palette[picks[:, columns] % len(palette)]
    compare(compiled(), weights, name, importance if TYPES[name].weighted else None)


@pytest.mark.slow
@pytest.mark.parametrize("level", ["x86-64", "x86-64-v3"])
def test_what_older_processors_run(level: str, tmp_path: Path) -> None:
    """The kernels hold a version for each level of x86-64; here run those that this processor would not choose."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None or "avx2" not in Path("/proc/cpuinfo").read_text("ascii"):
        pytest.skip("needs a C compiler and a processor with AVX2")
    flags = ["-O3", "-ffp-contract=off", "-fno-math-errno", "-fno-trapping-math", f"-march={level}", "-DCLONES="]
    include, library = f"-I{sysconfig.get_path('include')}", tmp_path / "kernels.so"
    source = str(FOLDER / "kernels.c")
    subprocess.run([compiler, "-shared", "-fPIC", *flags, include, source, "-o", str(library)], check=True)
    lib = native.declare(ctypes.CDLL(str(library)))
    for name in TYPES:
        for importance in oracle.importances().values():
            compare(native.Compiled(lib), oracle.hard_rows(rows=2), name, importance)
