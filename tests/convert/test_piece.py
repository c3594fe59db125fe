"""Parts of tensors as views: what is read of them, and put back."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from edgeconv.convert.program.piece import WHOLE, Piece

EVERY = slice(None)
CASES: dict[str, tuple[tuple[int, ...], Piece, tuple[int, ...]]] = {
    "whole": ((6, 5), WHOLE, (6, 5)),
    "a third": ((12, 5), Piece(taken=(slice(4, 8),)), (4, 5)),
    "a third of a vector": ((12,), Piece(taken=(slice(4, 8),)), (4,)),
    "one frame of two": ((6, 3, 2, 4, 4), Piece(taken=(EVERY, EVERY, 1)), (6, 3, 4, 4)),
    "a row": ((9, 8), Piece(taken=(4,)), (8,)),
    "neighbors": ((8, 5), Piece(seen=(2, 2, 2, 5), axes=(0, 2, 1, 3), shape=(8, 5)), (8, 5)),
    "neighbors of a vector": ((8,), Piece(seen=(2, 2, 2), axes=(0, 2, 1), shape=(8,)), (8,)),
    "without ones": ((1, 1, 7), Piece(shape=(7,)), (7,)),
}


def values(shape: tuple[int, ...]) -> np.ndarray[Any, Any]:
    return np.arange(np.prod(shape), dtype=np.float32).reshape(shape)


@pytest.mark.parametrize("name", CASES)
def test_ranges_of_rows_are_those_of_the_part(name: str) -> None:
    stored, piece, lies = CASES[name]
    tensor = values(stored)
    assert piece.lies(stored) == lies
    columns = lies[-1]
    whole = piece.of(tensor).reshape(-1, columns)
    for start in range(len(whole)):
        for stop in range(start + 1, len(whole) + 1):
            assert np.array_equal(piece.rows(tensor, start, stop, columns), whole[start:stop])


@pytest.mark.parametrize("name", CASES)
def test_a_part_is_a_view_and_goes_back_to_its_place(name: str) -> None:
    stored, piece, lies = CASES[name]
    tensor = values(stored)
    assert np.shares_memory(piece.of(tensor), tensor)
    again = np.full(stored, np.nan, np.float32)
    piece.put(piece.of(tensor).reshape(lies), again)
    held = ~np.isnan(again)
    assert held.sum() == np.prod(lies)
    assert np.array_equal(again[held], tensor[held])


def test_parts_make_the_whole() -> None:
    tensor = values((12, 5))
    again = np.empty_like(tensor)
    for i in range(3):
        piece = Piece(taken=(slice(4 * i, 4 * i + 4),))
        piece.put(piece.of(tensor), again)
    assert np.array_equal(again, tensor)
