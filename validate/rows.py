"""Short documents side by side in one row of a model, each seeing itself alone.

A product of matrices is three times as fast for 256 positions as for 30, and texts are that short where many share a small
number of tokens. transformers tells documents of a row apart by positions that begin anew; `self_check` finds out whether a
model really does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

ROW = 512
"""Positions of a row: more make no product faster, and attention looks at a whole row for each."""


@dataclass(frozen=True)
class Row:
    """Some documents: their numbers, their lengths, all their tokens; `positions` of these, None if the model counts them."""

    documents: list[int]
    lengths: list[int]
    ids: list[int]
    positions: list[int] | None

    def cut(self, whole: Any) -> list[Any]:
        """Cut something of one entry a token into the documents' parts."""
        return [whole[end - length : end] for length, end in zip(self.lengths, accumulate(self.lengths), strict=True)]


def alone(documents: Sequence[Sequence[int]], firsts: Sequence[int] | None = None) -> list[Row]:
    """Give each document a row of its own; `firsts` are the positions of their first tokens, 0 by default."""
    first = firsts or [0] * len(documents)
    return [
        Row([d], [len(ids)], list(ids), list(range(first[d], first[d] + len(ids))) if first[d] else None)
        for d, ids in enumerate(documents)
    ]


def shared(documents: Sequence[Sequence[int]], firsts: Sequence[int] | None, most: int) -> list[Row]:
    """Put documents that follow each other into one row while they have `most` tokens together.

    A document that is longer, or does not begin at position 0, gets a row of its own.
    """
    rows: list[Row] = []
    for row in alone(documents, firsts):
        before = rows[-1] if rows else None
        joins = before and row.positions is None and (before.positions is None or len(before.documents) > 1)
        if before and joins and len(before.ids) + len(row.ids) <= most:
            lengths = [*before.lengths, *row.lengths]
            positions = [position for length in lengths for position in range(length)]
            rows[-1] = Row([*before.documents, *row.documents], lengths, before.ids + row.ids, positions)
        else:
            rows.append(row)
    return rows
