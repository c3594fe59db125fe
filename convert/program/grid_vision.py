"""What the families around a `GridTower` have in common: their vision part, and what it makes of the language model."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from . import grid
from .decoder import Decoder
from .grid_vit import GridTower
from .reading import ACTIVATIONS, QUICK, Config, Reader, contradicting, whole, wrong
from .rope import Rope, parameters
from .vision import Array, Arrays, Graph, Shapes, Vision, token_id

IDS = ("image_token_id", "video_token_id", "vision_start_token_id", "vision_end_token_id", "vision_token_id")
FIELDS = frozenset([*IDS, "mrope_section", "mrope_interleaved", "tokens_per_second", "max_window_layers"])
"""What is read of config.json and its parts beside sizes."""


@dataclass(frozen=True)
class GridVision(Vision):
    """A tower over grids of patches.

    Attributes:
        family: the model_type.
        tower: in numbers.
        placeholder: `image_token_id`.
        leading: axes of positions in front of those of time, row and column, which count words.
        assumed: values that config.json leaves out, as sentences.
    """

    family: str
    tower: GridTower
    placeholder: int
    leading: int = 0
    assumed: tuple[str, ...] = ()

    @classmethod
    def read(cls, family: str, config: Config, read: Reader, tower: GridTower, decoder: Decoder) -> GridVision:
        """Put a tower that was read, with `read`, into its place. Raises CheckpointError if it does not fit there."""
        if tower.out_size != decoder.hidden_size:
            raise contradicting(
                f"the vision encoder gives rows of {tower.out_size}, and the language model takes {decoder.hidden_size}"
            )
        if tower.hidden_size % tower.num_heads or tower.head_dim % 4:
            raise contradicting(f"a tower {tower.hidden_size} wide with {tower.num_heads} heads")
        placeholder = token_id(config, "image_token_id", decoder)
        return cls(family, tower, placeholder, decoder.rope.leading, tuple(read.assumed.values()))

    @property
    def out_size(self) -> int:  # type: ignore[override]
        """Width of the language model."""
        return self.tower.out_size

    @property
    def kept(self) -> frozenset[str]:
        """The table of places."""
        return frozenset([self.tower.places])

    def graphs(self) -> tuple[Graph, ...]:
        """Return the graphs as optimum-intel parts them."""
        return self.tower.graphs()

    def whole(self) -> Graph:
        """Return all of it as one graph."""
        return self.tower.in_one()

    def tensors(self) -> Shapes:
        """Return name and shape of every tensor that is used."""
        return self.whole().tensors

    def positions(self, ids: Sequence[int], pictures: Sequence[Arrays]) -> Array:
        """Return the positions by time, row and column, int64 [axes, n]."""
        grids = [one for made in pictures for one in grid.grids_of(made)]
        found = grid.positions(ids, grids, self.placeholder, self.tower.merge)
        words = np.broadcast_to(np.arange(len(ids), dtype=np.int64), (self.leading, len(ids)))
        return np.concatenate([words, found])


def common(read: Reader) -> dict[str, Any]:
    """Read what all these families state alike of a tower: its patch, layers, heads, units and activation."""
    side = read.size("patch_size")
    return {
        "patch": (read.size("in_channels"), read.size("temporal_patch_size"), side, side),
        "num_layers": read.layers("depth"),
        "num_heads": read.size("num_heads"),
        "merge": read.size("spatial_merge_size"),
        "activation": read.activation(known=(*ACTIVATIONS, QUICK)),
    }


def numbers(read: Reader, key: str, count: int) -> tuple[int, ...]:
    """Read a list of layers, of which there are `count`."""
    stated = read.get(key)
    if not isinstance(stated, (list, tuple)) or not all(type(one) is int and 0 <= one < count for one in stated):
        raise wrong(read.prefix + key, stated, f"a list of numbers below {count}")
    return tuple(stated)


def side_of(places: int) -> int:
    """Return the side of a square table of places. Raises CheckpointError if it is none."""
    side = math.isqrt(places)
    if side * side != places:
        raise contradicting(f"vision_config.num_position_embeddings is {places}, which is no square")
    return side


def plain_rope(**defaults: Any) -> Callable[[Config], Config]:
    """Return what makes a language model's config of the whole one: without the axes of its positions, with these defaults."""

    def config_of(config: Config) -> Config:
        stated = {name: value for name, value in config.items() if name not in ("rope_scaling", "rope_parameters")}
        table = parameters(config)
        kind = table.get("rope_type", table.get("type", "default"))
        kind = "default" if kind == "mrope" else kind
        left = {
            name: value for name, value in table.items() if name not in ("type", "mrope_section", "mrope_interleaved")
        }
        absent = {name: value for name, value in defaults.items() if stated.get(name) is None}
        return stated | absent | ({"rope_parameters": left | {"rope_type": kind}} if table else {})

    return config_of


def multi_axis(*, woven: bool = False, leading: int = 0, sections: Sequence[int] | None = None) -> Any:
    """Return what gives a language model positions by time, row and column.

    Args:
        woven: as of `Rope`.
        leading: as of `Rope`.
        sections: that are taken where config.json states none.
    """

    def adapted(config: Config, decoder: Decoder) -> Decoder:
        stated = parameters(config).get("mrope_section", sections)
        if not isinstance(stated, (list, tuple)) or len(stated) != 3:
            raise wrong("rope_parameters.mrope_section", stated, "three numbers")
        found = tuple(whole(one, "rope_parameters.mrope_section") for one in stated)

        def turned(rope: Rope) -> Rope:
            return replace(rope, sections=found, woven=woven, leading=leading)

        ropes = tuple(rope and turned(rope) for rope in decoder.ropes)
        return replace(decoder, rope=turned(decoder.rope), ropes=ropes)

    return adapted
