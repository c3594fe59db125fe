"""Logits are computed for many positions at a time, 80 MB of them: one such piece is in memory, and the next replaces it."""

import weakref
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import pytest

from edgeconv.core.progress import Silent
from edgeconv.validate import head
from edgeconv.validate.checks import logits

VOCAB, ROWS, HIDDEN = 50, 8, 4
DOCUMENTS = [list(range(20)), list(range(3)), list(range(13))]
STATES = [np.random.default_rng(len(ids)).standard_normal((len(ids), HIDDEN)).astype(np.float32) for ids in DOCUMENTS]


class Head:
    """Notes what it has computed, and how much of that is alive when the next is asked for."""

    def __init__(self) -> None:
        self.weight = np.random.default_rng(0).standard_normal((VOCAB, HIDDEN)).astype(np.float32)
        self.made: list[weakref.ref[Any]] = []
        self.alive: list[int] = []

    def logits(self, hidden: Any) -> Any:
        self.alive.append(sum(ref() is not None for ref in self.made))
        made = hidden @ self.weight.T
        self.made.append(weakref.ref(made))
        return made


class Runtime:
    def logits(self, ids: Sequence[int], _chunk: Any = None) -> Iterator[Any]:
        yield STATES[DOCUMENTS.index(list(ids))] @ Head().weight.T


def against(one: Head, _other: Head) -> list[Any]:
    return logits.against(Runtime(), DOCUMENTS, [(one, STATES)], Silent(), label="x")[0]  # type: ignore[arg-type, list-item]


def apart(one: Head, other: Head) -> list[Any]:
    return logits.heads_apart((one, STATES), (other, STATES), DOCUMENTS)  # type: ignore[arg-type]


@pytest.mark.parametrize("compare", [against, apart])
def test_a_piece_goes_before_the_next_is_computed(
    compare: Callable[[Head, Head], list[Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(head, "AHEAD", 4 * VOCAB * ROWS)
    one, other = Head(), Head()
    scores = compare(one, other)
    assert [sum(map(len, score.kl)) for score in scores] == [20, 3, 13]
    assert len(one.made) == 5  # 36 positions by eight
    assert set(one.alive) == {0}
