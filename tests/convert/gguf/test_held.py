"""Factors of a tensor's rows, whatever part of the rows is at hand."""

from __future__ import annotations

import numpy as np
import pytest

from edgeconv.convert.gguf_held import Held

SIDE = 5
WHOLE = np.arange(1, SIDE * SIDE + 1, dtype=np.float32).reshape(SIDE, SIDE)
FACTORS = np.arange(1, SIDE + 1, dtype=np.float32)


@pytest.mark.parametrize("rows", [1, 2, 4, SIDE])
def test_pieces_of_a_square_matrix_are_multiplied_as_the_whole_is(rows: int) -> None:
    held = Held(times=FACTORS)
    pieces = [held.apply(WHOLE[first : first + rows], first) for first in range(0, SIDE, rows)]
    np.testing.assert_array_equal(np.concatenate(pieces), WHOLE * FACTORS[:, None])
    np.testing.assert_array_equal(held.undo(np.concatenate(pieces)), WHOLE)


def test_one_factor_is_that_of_all() -> None:
    held = Held(times=np.array([2], np.float32))
    np.testing.assert_array_equal(held.apply(WHOLE[3:4], 3), 2 * WHOLE[3:4])
