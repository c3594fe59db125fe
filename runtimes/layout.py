"""How a prompt with pictures is laid out for a language model: where each token stands, and what belongs to pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ..convert.program.description import DEEP_ROWS, PICTURE_PLACES, TOKEN_TYPES
from ..convert.program.vision import Arrays, Rows, Vision
from ..core.errors import ArtifactError

Array = npt.NDArray[Any]
POSITIONS = "position_ids"
_TURNING = 3
"""The axes by which M-RoPE turns."""
BESIDE = frozenset([TOKEN_TYPES, PICTURE_PLACES, DEEP_ROWS])
"""What a language model may take beside embeddings, mask, positions and the cache."""


@dataclass(frozen=True)
class Layout:
    """The layout of a prompt, or of a part of it.

    Attributes:
        positions: int64 [n], or [axes, n] where the family has several (M-RoPE): time, row and column are the last three, and
            those before count tokens.
        types: what the family gives each token, int64 [n], by the graph's names of it: token_type_ids.
        places: bool [n]: where a row of a picture stands.
        deep: float32 [layers, rows, hidden], which the first layers add at these places (DeepStack); None: the family has none.
    """

    positions: Array
    types: Mapping[str, Array]
    places: Array
    deep: Array | None = None

    @property
    def shift(self) -> Array:
        """By how much the position of the first token behind it is more than the number of its tokens: int64 [], or [axes].

        It stands behind the last position that there is on any of time, row and column.
        """
        count = len(self.places)
        if self.positions.ndim == 1:
            return np.array(self.positions.max() + 1 - count)
        made = np.zeros(len(self.positions), np.int64)
        made[-_TURNING:] = self.positions[-_TURNING:].max() + 1 - count
        return made

    def part(self, start: int, stop: int | None = None) -> Layout:
        """Return that of the tokens [start, stop)."""
        part = slice(start, stop)
        deep = self.deep
        if deep is not None:
            before = int(self.places[:start].sum())
            deep = deep[:, before : before + int(self.places[part].sum())]
        types = {name: values[part] for name, values in self.types.items()}
        return Layout(self.positions[..., part], types, self.places[part], deep)

    def then(self, words: int) -> Layout:
        """Return that of this prompt and so many words behind it."""
        more = self.shift[..., None] + np.arange(len(self.places), len(self.places) + words)
        types = {name: np.pad(values, (0, words)) for name, values in self.types.items()}
        positions = np.concatenate([self.positions, more], -1)
        return Layout(positions, types, np.pad(self.places, (0, words)), self.deep)

    def beside(self) -> dict[str, Array]:
        """Return what a language model takes of it beside positions, for a batch of this one row."""
        made: dict[str, Array] = {name: values[None] for name, values in self.types.items()}
        if self.deep is not None:
            made |= {PICTURE_PLACES: self.places[None], DEEP_ROWS: self.deep}
        return made


def lay_out(vision: Vision, ids: Sequence[int], pictures: Sequence[Arrays], rows: Sequence[Rows]) -> Layout:
    """Lay a prompt out.

    Args:
        vision: the encoder.
        ids: of the prompt, with a placeholder for each row.
        pictures: what the processor made of each picture, in their order.
        rows: what the encoder made of each.

    Raises:
        ArtifactError: the encoder makes more or fewer rows than there are placeholders.
    """
    places = np.asarray(ids) == vision.placeholder
    count = sum(len(one.rows) for one in rows)
    if count != places.sum():
        raise ArtifactError(
            f"The tower makes {count} rows, the prompt has {places.sum()} placeholders.",
            "Convert the checkpoint again.",
        )
    found = [one.deep for one in rows if one.deep is not None]
    deep = np.concatenate(found, 1) if found else None
    return Layout(vision.positions(ids, pictures), vision.language_inputs(ids), places, deep)


def filled(
    shapes: Mapping[str, Sequence[int]], given: Array, positions: Array, beside: Mapping[str, Array]
) -> dict[str, Array]:
    """Return positions and what stands beside them as a graph wants them: words alone where nothing is said of pictures.

    Args:
        shapes: of the graph's inputs, by their names; -1 is a dimension of any size.
        given: what it reads, of a batch [batch, n, …].
        positions: int64 [batch, n], or [axes, batch, n].
        beside: what is said.
    """
    batch, count = given.shape[:2]
    made: dict[str, Array] = {}
    if POSITIONS in shapes:
        axes = shapes[POSITIONS][0] if len(shapes[POSITIONS]) > 2 else 0
        alike = axes and positions.ndim == 2
        made[POSITIONS] = np.broadcast_to(positions, (axes, batch, count)) if alike else positions
    for name in BESIDE & shapes.keys():
        if name in beside:
            made[name] = beside[name]
        elif name == DEEP_ROWS:
            layers, _, width = shapes[name]
            made[name] = np.zeros((layers, 1, width), np.float32)
        else:
            made[name] = np.zeros((batch, count), bool if name == PICTURE_PLACES else np.int64)
    return made
