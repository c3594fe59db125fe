"""The conversions between floating types, against every value that there is."""

from __future__ import annotations

import numpy as np
import pytest

from edgeconv.convert.openvino.stream_float16 import _measure
from edgeconv.convert.openvino.tensor_layout import to_float16
from edgeconv.quantize.integer import to_float32

ALL_BFLOAT16 = np.arange(65536, dtype=np.uint16)


def test_every_bfloat16_becomes_the_float16_that_numpy_makes_of_it() -> None:
    with np.errstate(over="ignore"):
        expected = to_float32(ALL_BFLOAT16).astype(np.float16)
    made = to_float16(ALL_BFLOAT16)
    numbers = ~np.isnan(expected)
    assert np.array_equal(made[numbers].view(np.uint16), expected[numbers].view(np.uint16))
    assert np.isnan(made[~numbers]).all()


def test_blocks_of_any_length_and_order_are_converted_alike() -> None:
    bits = np.random.default_rng(0).permutation(np.tile(ALL_BFLOAT16, 3))[: 65536 * 2 + 5]
    once = to_float16(bits.reshape(-1, 1))
    assert once.shape == (bits.size, 1)
    assert np.array_equal(once.view(np.uint16)[:, 0], to_float16(ALL_BFLOAT16).view(np.uint16)[bits])


@pytest.mark.parametrize("exponent", range(0, 0x7F80, 0x400))
def test_what_float16_loses_is_measured(exponent: int) -> None:
    bits = ALL_BFLOAT16[exponent : min(exponent + 0x400, 0x7F80)]
    values = to_float32(bits).astype(np.float64)
    with np.errstate(over="ignore"):
        half = to_float32(bits).astype(np.float16).astype(np.float64)
    fits = np.isfinite(half)
    with np.errstate(over="ignore"):
        too_large, lost, squares = _measure(bits)
    assert too_large == np.count_nonzero(~fits & np.isfinite(values))
    assert lost == pytest.approx(np.square(values[fits] - half[fits]).sum(), rel=1e-6)
    if np.square(values).sum() < 1e38:
        assert squares == pytest.approx(np.square(values).sum(), rel=1e-5)
