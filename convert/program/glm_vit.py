"""GLM's vision transformers (GLM-4.1V, GLM-4.6V-Flash, GLM-OCR), over patches of pictures of any size.

    patches [n, numbers] -> rows, with places of a table that is stretched over the picture -> layers, as of `grid_vit` -> norm
    -> units of patches by a convolution -> gated MLP, [n / unit, hidden]

Parts, inputs and outputs are named as those of Qwen's towers, which nobody else does for this one.
Sources: `transformers/models/glm4v/modeling_glm4v.py`, `transformers/models/glm_ocr/`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from . import grid
from .grid import GRID, Places, grids_of
from .grid_vit import ANGLES, HIDDEN, MASK, MERGER, POSITIONS, PREFIX, TABLE_INPUT, GridTower, embed
from .ops import Heads, Ops, Rotation, T
from .signature import Input, Output
from .vision import LAST_HIDDEN_STATE, PIXELS, VISION_EMBEDDINGS, Array, Arrays, Graph, Shapes
from .vit import with_bias

WEIGHTS = "weights"
"""What each of the places around a patch counts."""
MERGER_EPS = 1e-5
"""Of the merger's norm, which no config states."""
_CUBIC = np.array([[-0.75, 1.5, -0.75, 0], [1.25, -2.25, 0, 1], [-1.25, 1.5, 0.75, 0], [0.75, -0.75, 0, 0]], np.float32)
"""What the places one before, at, one and two behind count, by the third to the zeroth power of the distance: torch's bicubic."""
_TAPS = len(_CUBIC)
_SHIFT = 8
"""Larger than any place before the first: what is below zero is rounded down, too."""


@dataclass(frozen=True)
class GlmTower(GridTower):
    """Such a transformer; attributes as of `GridTower`, and these.

    Attributes:
        qkv_bias: queries, keys and values have biases.
        more_biases: what is behind attention, and the MLPs, have.
        head_norm: queries and keys are normalized, head by head.
        context: width inside the merger's MLP.
    """

    qkv_bias: bool = False
    more_biases: bool = False
    head_norm: bool = False
    context: int = 0

    @property
    def places(self) -> str:
        """The table of places."""
        return f"{PREFIX}embeddings.position_embedding.weight"

    def patch_tensors(self) -> Shapes:
        """Return name and shape of what makes rows of patches."""
        norm: Shapes = {f"{PREFIX}post_conv_layernorm.weight": (self.hidden_size,)} if self.table else {}
        return super().patch_tensors() | norm

    def layer_tensors(self) -> Shapes:
        """Return those of layers and of what is behind them."""
        width, out, shapes = self.hidden_size, self.out_size, Shapes()
        for layer in range(self.num_layers):
            shapes |= {f"{PREFIX}blocks.{layer}.{name}": shape for name, shape in self._block().items()}
        shapes |= {f"{PREFIX}post_layernorm.weight": (width,)}
        shapes |= with_bias(f"{PREFIX}downsample", (out, width, self.merge, self.merge))
        shapes |= {f"{PREFIX}merger.proj.weight": (out, out)} | with_bias(
            f"{PREFIX}merger.post_projection_norm", (out,)
        )
        shapes |= {f"{PREFIX}merger.{part}_proj.weight": (self.context, out) for part in ("gate", "up")}
        return shapes | {f"{PREFIX}merger.down_proj.weight": (out, self.context)}

    def _block(self) -> Shapes:
        width, inner, more = self.hidden_size, self.intermediate_size, self.more_biases
        shapes: Shapes = {"norm1.weight": (width,)} | _matrix("attn.qkv", (3 * width, width), bias=self.qkv_bias)
        if self.head_norm:
            shapes |= {f"attn.{part}_norm.weight": (self.head_dim,) for part in "qk"}
        shapes |= _matrix("attn.proj", (width, width), bias=more) | {"norm2.weight": (width,)}
        for part in ("gate", "up"):
            shapes |= _matrix(f"mlp.{part}_proj", (inner, width), bias=more)
        return shapes | _matrix("mlp.down_proj", (width, inner), bias=more)

    def graphs(self) -> tuple[Graph, ...]:
        """Return the graphs, parted as those of Qwen's towers."""
        rows = Output(LAST_HIDDEN_STATE, (-1, self.hidden_size))
        first = Graph(
            VISION_EMBEDDINGS, (Input(HIDDEN, (-1, self.pixels)),), (rows,), self.patch_tensors(),
            lambda ops, given: [_embedded(ops, self, given[HIDDEN])], lambda made, _: {HIDDEN: made[PIXELS]},
        )  # fmt: skip
        merger = Graph(
            MERGER, (Input(HIDDEN, (-1, self.hidden_size)), Input(MASK, (1, -1, -1)), Input(ANGLES, (-1, self.head_dim // 2))),
            (Output(LAST_HIDDEN_STATE, (-1, self.out_size)),), self.layer_tensors(), self._write_merger, self._feed_merger,
        )  # fmt: skip
        return (first, *(self._place_graph() if self.table else ()), merger)

    def _place_graph(self) -> tuple[Graph, ...]:
        inputs = (Input(TABLE_INPUT, (_TAPS**2, -1), "int64"), Input(WEIGHTS, (_TAPS**2, -1)))
        rows = Output(LAST_HIDDEN_STATE, (-1, self.hidden_size))
        return (Graph(POSITIONS, inputs, (rows,), self.place_tensors(), self._write_places, self._feed_places),)

    def _feed_places(self, made: Arrays, before: Arrays) -> dict[str, Array]:
        index, weights = around(self, grid.places(grids_of(made), self.merge))
        return {TABLE_INPUT: index, WEIGHTS: weights}

    def _write_places(self, ops: Ops[Any], given: Mapping[str, Any]) -> list[Any]:
        index, weights = (
            [ops.reshape(ops.slices(given[name], 0, tap, tap + 1), [-1]) for tap in range(_TAPS**2)]
            for name in (TABLE_INPUT, WEIGHTS)
        )
        return [_taken(ops, self, index, weights)]

    def _feed_merger(self, made: Arrays, before: Arrays) -> dict[str, Array]:
        found, hidden = grid.places(grids_of(made), self.merge), before[f"{VISION_EMBEDDINGS}.{LAST_HIDDEN_STATE}"]
        if self.table:
            hidden = hidden + before[f"{POSITIONS}.{LAST_HIDDEN_STATE}"]
        return {HIDDEN: hidden, MASK: grid.seen(found.frame), ANGLES: grid.angles(found, self.head_dim)}

    def _write_merger(self, ops: Ops[Any], given: Mapping[str, Any]) -> list[Any]:
        rotation = ops.turned_by(given[ANGLES], self._rope)
        return [merged(ops, self, given[HIDDEN], rotation, ops.unsqueezed(given[MASK], [0]))]

    def _write_all(self, ops: Ops[Any], given: Mapping[str, Any]) -> list[Any]:
        found = grid.written(ops, given[PIXELS], given[GRID], self.merge)
        hidden = _embedded(ops, self, given[PIXELS])
        if self.table:
            hidden = ops.add(hidden, _stretched(ops, self, found))
        rotation = ops.turned_by(grid.written_angles(ops, found, self.head_dim), self._rope)
        return [merged(ops, self, hidden, rotation, ops.only_same(found.frame))]


def _matrix(name: str, shape: tuple[int, int], *, bias: bool) -> Shapes:
    return with_bias(name, shape) if bias else {f"{name}.weight": shape}


def _embedded(ops: Ops[T], v: GlmTower, patches: T) -> T:
    """Patches [n, numbers] to rows [n, width]."""
    rows = embed(ops, v, patches)
    return ops.rms_norm(rows, f"{PREFIX}post_conv_layernorm", v.eps) if v.table else rows


def around(v: GlmTower, found: Places[Array]) -> tuple[Array, Array]:
    """Return the sixteen places of the table around each patch int64 [16, n], and what they count float32 [16, n]."""
    assert v.table
    sides = []
    for at, count in ((found.row, found.rows), (found.column, found.columns)):
        exact = ((at + np.float32(0.5)) / count * np.float32(v.table) - np.float32(0.5)).astype(np.float32)
        low = np.floor(exact)
        powers = (exact - low)[None] ** np.arange(3, -1, -1, dtype=np.float32)[:, None]
        index = np.clip(low.astype(np.int64)[None] + np.arange(-1, 3)[:, None], 0, v.table - 1)
        sides.append((index, _CUBIC @ powers))
    (down, weighing), (across, beside) = sides
    index = (down[:, None] * v.table + across[None]).reshape(_TAPS**2, -1)
    return index, (weighing[:, None] * beside[None]).reshape(_TAPS**2, -1)


def _stretched(ops: Ops[T], v: GlmTower, found: Places[T]) -> T:
    """Write down what `around` computes, and the sum: [n, width]."""
    assert v.table
    sides = []
    for at, count in ((found.row, found.rows), (found.column, found.columns)):
        share = ops.divide(ops.add(ops.real(at), ops.floats(0.5)), ops.real(count))
        exact = ops.add(ops.scale(share, float(v.table)), ops.floats(-0.5))
        low = ops.minus(ops.truncated(ops.add(exact, ops.floats(float(_SHIFT)))), ops.whole(_SHIFT))
        part = ops.minus(exact, ops.real(low))
        index = [ops.add(low, ops.whole(step)) for step in range(-1, 3)]
        bounded = [ops.most(ops.least(one, ops.whole(v.table - 1)), ops.whole(0)) for one in index]
        sides.append((bounded, [_polynomial(ops, part, one) for one in _CUBIC]))
    (down, weighing), (across, beside) = sides
    index = [ops.add(ops.multiply(y, ops.whole(v.table)), x) for y in down for x in across]
    return _taken(ops, v, index, [ops.multiply(y, x) for y in weighing for x in beside])


def _polynomial(ops: Ops[T], part: T, coefficients: Array) -> T:
    first, *others = (float(one) for one in coefficients)
    made = ops.scale(part, first)
    for index, one in enumerate(others):
        made = ops.add(made, ops.floats(one))
        made = made if index == len(others) - 1 else ops.multiply(made, part)
    return made


def _taken(ops: Ops[T], v: GlmTower, index: list[T], weights: list[T]) -> T:
    """Sum rows of the table of places, one [n, width] at a time."""
    total: T | None = None
    for one, weight in zip(index, weights, strict=True):
        rows = ops.multiply(ops.rows(v.places, one), ops.unsqueezed(weight, [1]))
        total = rows if total is None else ops.add(total, rows)
    assert total is not None
    return total


def merged(ops: Ops[T], v: GlmTower, hidden: T, rotation: Rotation[T], mask: T) -> T:
    """Write layers and merger down: rows [n, width] to [n / unit, out]."""
    states = ops.unsqueezed(hidden, [0])
    for layer in range(v.num_layers):
        prefix = f"{PREFIX}blocks.{layer}."
        normed = ops.rms_norm(states, prefix + "norm1", v.eps)
        made = _attention(ops, v, normed, prefix + "attn.", rotation=rotation, mask=mask)
        states = ops.add(states, made, prefix + "residual")
        made = _gated(
            ops, ops.rms_norm(states, prefix + "norm2", v.eps), prefix + "mlp.", v.activation, bias=v.more_biases
        )
        states = ops.add(states, made, prefix + "output")
    states = ops.rms_norm(states, f"{PREFIX}post_layernorm", v.eps)
    units = ops.transpose(ops.reshape(states, [-1, v.unit, v.hidden_size]), [0, 2, 1])
    rows = ops.flat_linear(ops.reshape(units, [-1, v.unit * v.hidden_size]), f"{PREFIX}downsample", True)
    normed = ops.layer_norm(
        ops.linear(rows, f"{PREFIX}merger.proj", False), f"{PREFIX}merger.post_projection_norm", MERGER_EPS
    )
    return _gated(ops, ops.activate(normed, "gelu"), f"{PREFIX}merger.", v.activation, bias=False)


def _attention(ops: Ops[T], v: GlmTower, states: T, prefix: str, *, rotation: Rotation[T], mask: T) -> T:
    width = v.head_dim
    parts = ops.split(ops.linear(states, prefix + "qkv", v.qkv_bias), [v.hidden_size] * 3)
    query, key, value = (ops.heads(part, v.num_heads, width) for part in parts)
    if v.head_norm:
        query, key = (ops.rms_norm(one, f"{prefix}{part}_norm", v.eps) for part, one in (("q", query), ("k", key)))
    query, key = (ops.rotate(ops.heads_first(one), rotation, width) for one in (query, key))
    sizes = Heads(v.num_heads, v.num_heads, width)
    context = ops.attention(
        query, key, ops.heads_first(value), mask, heads=sizes, scale=width**-0.5, name=prefix + "sdpa"
    )
    return ops.linear(context, prefix + "proj", v.more_biases)


def _gated(ops: Ops[T], states: T, prefix: str, activation: str, *, bias: bool) -> T:
    gate = ops.activate(ops.linear(states, prefix + "gate_proj", bias), activation)
    return ops.linear(ops.multiply(gate, ops.linear(states, prefix + "up_proj", bias)), prefix + "down_proj", bias)
