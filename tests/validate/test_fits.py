"""The compiled comparison of a weight finds what numpy's finds, for every kind of integer that a graph holds."""

from __future__ import annotations

from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from edgeconv.core.progress import Silent
from edgeconv.runtimes import elements
from edgeconv.validate.weights import fits_native, native
from edgeconv.validate.weights.constant import StoredWeight
from edgeconv.validate.weights.fit import Fit, compare
from edgeconv.validate.weights.openvino_ir import Match

ROWS, COLUMNS = 37, 1056
NAME = "w"
_HELD: list[np.ndarray] = []
"""What constants lie over: OpenVINO does not copy it."""


@dataclass
class Source:
    """Stands for a checkpoint of one tensor."""

    values: np.ndarray

    def tensor(self, _: str) -> np.ndarray:
        return self.values

    def info(self, _: str) -> Any:
        dtype = "BF16" if self.values.dtype == np.uint16 else "F32"
        return SimpleNamespace(start=0, end=self.values.nbytes, dtype=dtype, shape=self.values.shape)

    def shard_of(self, _: str) -> Any:
        return SimpleNamespace(release=lambda _start, _end: None)


def constant(values: np.ndarray, element: str = "f32") -> Any:
    """OpenVINO's constant of integers, which are packed, or of floats."""
    import openvino as ov
    from openvino import opset13 as ops

    kind = getattr(ov.Type, element)
    if element in ("f32", "f16"):
        return ops.constant(values.astype(np.float32 if element == "f32" else np.float16))
    codes = values.astype(np.int64).reshape(-1) & (2**kind.bitwidth - 1)
    if kind.bitwidth == 4:
        codes = np.append(codes, 0) if codes.size % 2 else codes
        codes = codes[0::2] | codes[1::2] << 4
    _HELD.append(codes.astype(np.uint8))
    return ops.constant(ov.Tensor(_HELD[-1], list(values.shape), kind))


def made(element: str, group: int, *, asymmetric: bool, seed: int = 0) -> tuple[Match, Source]:
    """Quantize random values, to nearest, and return the weight beside its source in bfloat16."""
    bits = elements.INTEGERS[element]
    signed, top = element.startswith("i"), 2 ** (bits - 1) - 1
    source = np.random.default_rng(seed).standard_normal((ROWS, COLUMNS)).astype(np.float32)
    kept = (source.view(np.uint32) >> 16).astype(np.uint16)
    values = (kept.astype(np.uint32) << 16).view(np.float32).reshape(ROWS, -1, group)
    if asymmetric:
        low, high = values.min(-1, keepdims=True), values.max(-1, keepdims=True)
        scale = ((high - low) / (2**bits - 1)).astype(np.float16).astype(np.float32)
        zero = np.clip(np.round(-low / scale), 0, 2**bits - 1)
        levels = np.clip(np.round(values / scale) + zero, 0, 2**bits - 1)
    else:
        scale = (np.abs(values).max(-1, keepdims=True) / top).astype(np.float16).astype(np.float32)
        zero = None if signed else np.full((1,) * 3, top + 1.0)
        levels = np.clip(np.round(values / scale), -top - 1, top) + (0 if zero is None else zero)
    if group == COLUMNS:
        levels, scale = levels.reshape(ROWS, COLUMNS), scale.reshape(ROWS, 1)
        zero = None if zero is None else zero.reshape(-1, 1)
    stored = StoredWeight(
        constant(levels, element), (ROWS, COLUMNS), None if zero is None else constant(zero, element),
        [constant(scale, "f16")], names=[NAME],
    )  # fmt: skip
    return Match(stored, "name"), Source(kept)


def both(match: Match, source: Source, monkeypatch: pytest.MonkeyPatch) -> tuple[Fit, Fit]:
    """Return what the compiled comparison finds, and what numpy finds."""
    if native.load() is None:
        pytest.skip("the compiled comparison is not built")
    assert fits_native.compiled(match, source.values) is not None
    task = Silent().task("", 1)
    compiled = compare(NAME, match, source, task)  # type: ignore[arg-type]
    with monkeypatch.context() as patch:
        patch.setattr(native, "load", lambda: None)
        plain = compare(NAME, match, source, task)  # type: ignore[arg-type]
    return compiled, plain


def assert_alike(compiled: Fit, plain: Fit) -> None:
    """Counts and the worst element are the same to the bit; sums are added in another order."""
    exact = {"rms": 0.0, "expected_rms": 0.0}
    assert replace(compiled, **exact) == replace(plain, **exact)
    assert compiled.rms == pytest.approx(plain.rms, rel=1e-5)
    assert compiled.expected_rms == pytest.approx(plain.expected_rms, rel=1e-5)


KINDS = [
    pytest.param(element, group, asymmetric, id=f"{element}-{group}-{'asym' if asymmetric else 'sym'}")
    for element, asymmetric in [("i8", False), ("u8", False), ("u8", True), ("i4", False), ("u4", False), ("u4", True)]
    for group in (COLUMNS, 96, 32)
]


@pytest.mark.parametrize(("element", "group", "asymmetric"), KINDS)
def test_a_sound_weight(element: str, group: int, asymmetric: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    match, source = made(element, group, asymmetric=asymmetric)
    compiled, plain = both(match, source, monkeypatch)
    assert plain.over < 1e-3  # a zero point is rounded, and cuts an end off
    assert 0.4 < plain.worst < 1.5
    assert_alike(compiled, plain)


@pytest.mark.parametrize(("element", "group", "asymmetric"), KINDS)
def test_single_elements_and_a_row_that_are_off(
    element: str, group: int, asymmetric: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    match, source = made(element, group, asymmetric=asymmetric)
    source.values[3, 17] ^= 0x8000  # another sign
    source.values[9] = source.values[10].copy()
    source.values[ROWS - 1, COLUMNS - 1] = 0x4100  # 8.0
    compiled, plain = both(match, source, monkeypatch)
    assert plain.rows_over >= 2
    assert_alike(compiled, plain)


@pytest.mark.parametrize("order", ["rows in another order", "float32"])
def test_a_source_that_is_read_otherwise(order: str, monkeypatch: pytest.MonkeyPatch) -> None:
    match, source = made("u8", COLUMNS, asymmetric=True)
    if order == "float32":
        source.values = (source.values.astype(np.uint32) << 16).view(np.float32)
    else:
        rows = np.random.default_rng(1).permutation(ROWS)
        match = replace(match, row_order=np.argsort(rows))
        source.values = source.values[rows]
    compiled, plain = both(match, source, monkeypatch)
    assert plain.over < 1e-3
    assert_alike(compiled, plain)


@pytest.mark.parametrize("planted", [np.nan, np.inf])
@pytest.mark.parametrize("where", ["scale", "source"])
def test_what_is_not_finite_is_left_to_numpy(where: str, planted: float, monkeypatch: pytest.MonkeyPatch) -> None:
    match, source = made("i8", COLUMNS, asymmetric=False)
    if where == "scale":
        scale = match.stored.scale(0, ROWS)
        assert scale is not None
        scale[5] = planted
        match.stored.scales = [constant(scale, "f16")]
    else:
        source.values[5, 7] = np.array(planted, np.float32).view(np.uint32) >> 16
    fast = fits_native.compiled(match, source.values)
    assert fast is None or fast.block(0, ROWS) is None
    compiled, plain = both(match, source, monkeypatch)
    assert repr(compiled) == repr(plain)
    assert where == "source" or plain.not_finite


def test_zeros_are_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    match, source = made("i8", COLUMNS, asymmetric=False)
    match.stored.values = constant(np.zeros((ROWS, COLUMNS)), "i8")
    compiled, plain = both(match, source, monkeypatch)
    assert plain.zero
    assert_alike(compiled, plain)


@pytest.mark.parametrize(("element", "group", "asymmetric"), KINDS)
def test_values_are_numpys_to_the_bit(
    element: str, group: int, asymmetric: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if native.load() is None:
        pytest.skip("the compiled values are not built")
    stored = made(element, group, asymmetric=asymmetric)[0].stored
    compiled = stored.whole()
    monkeypatch.setattr(native, "load", lambda: None)
    np.testing.assert_array_equal(compiled, stored.whole())


def test_a_scale_of_single_elements_is_left_to_numpy() -> None:
    match, source = made("i8", COLUMNS, asymmetric=False)
    match.stored.scales = [constant(np.ones((1, COLUMNS)))]
    assert fits_native.compiled(match, source.values) is None
