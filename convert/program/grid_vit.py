"""Vision transformers over patches of pictures of any size, as Qwen2-VL and its successors have them.

    patches [n, numbers] -> rows -> layers, whose heads turn by a patch's row and column, and in which patches see those of their
    own frame, or of a window of it -> units of patches side by side -> [n / unit, hidden]

Sources: `transformers/models/qwen2_vl/`, `qwen2_5_vl/`, `qwen3_vl/` and `qwen3_5/`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from . import grid
from .grid import GRID, Places, grids_of
from .ops import Heads, Ops, Rotation, T
from .rope import Rope
from .signature import Input, Output
from .vision import LAST_HIDDEN_STATE, PIXELS, VISION_EMBEDDINGS, Array, Arrays, Graph, Shapes
from .vit import with_bias

MERGER, POSITIONS = f"{VISION_EMBEDDINGS}_merger", f"{VISION_EMBEDDINGS}_pos"
HIDDEN, MASK, ANGLES = "hidden_states", "attention_mask", "rotary_pos_emb"
WINDOW_MASK, WINDOWS, DEEP = "window_attention_mask", "window_index", "deepstack_feature_lists"
TABLE_INPUT = "input"
"""optimum-intel's names of graphs, and of their inputs and outputs."""
PREFIX = "model.visual."


@dataclass(frozen=True)
class Names:
    """The modules of a block and of the merger, where families call them differently; behind the prefix of each."""

    gate: str | None = None
    up: str = "mlp.fc1"
    down: str = "mlp.fc2"
    merged_norm: str = "ln_q"
    merged_first: str = "mlp.0"
    merged_second: str = "mlp.2"


QWEN3 = Names(
    up="mlp.linear_fc1",
    down="mlp.linear_fc2",
    merged_norm="norm",
    merged_first="linear_fc1",
    merged_second="linear_fc2",
)
GATED = Names(gate="mlp.gate_proj", up="mlp.up_proj", down="mlp.down_proj")


@dataclass(frozen=True)
class GridTower:
    """Such a transformer.

    Attributes:
        patch: numbers of a patch: channels, frames, side, side.
        hidden_size: width.
        intermediate_size: width inside the MLPs.
        num_layers: its blocks.
        num_heads: of attention.
        out_size: width of the language model.
        merge: so many patches by as many become one row.
        activation: of the MLPs.
        names: of its modules.
        patch_bias: the product of a patch has a bias.
        rms: its norms are RMS norms.
        window: units of a window's side; None: all patches of a frame see each other.
        whole: layers in which they do nevertheless.
        table: side of the table of places, which is stretched over a picture; None: there is none.
        deep: layers from whose rows further ones are made (DeepStack).
        eps: of the norms.
    """

    patch: tuple[int, int, int, int]
    hidden_size: int
    intermediate_size: int
    num_layers: int
    num_heads: int
    out_size: int
    merge: int
    activation: str
    names: Names
    patch_bias: bool = False
    rms: bool = False
    window: int | None = None
    whole: tuple[int, ...] = ()
    table: int | None = None
    deep: tuple[int, ...] = ()
    eps: float = 1e-6

    @property
    def head_dim(self) -> int:
        """Width of a head."""
        return self.hidden_size // self.num_heads

    @property
    def unit(self) -> int:
        """Patches that become one row."""
        return self.merge**2

    @property
    def pixels(self) -> int:
        """Numbers of a patch."""
        return int(np.prod(self.patch))

    @property
    def places(self) -> str:
        """The table of places."""
        return f"{PREFIX}pos_embed.weight"

    # -- tensors

    def patch_tensors(self) -> Shapes:
        """Return name and shape of what makes rows of patches."""
        name = f"{PREFIX}patch_embed.proj"
        shapes: Shapes = {f"{name}.weight": (self.hidden_size, *self.patch)}
        return shapes | ({f"{name}.bias": (self.hidden_size,)} if self.patch_bias else {})

    def place_tensors(self) -> Shapes:
        """Return those of the table of places."""
        return {} if self.table is None else {self.places: (self.table**2, self.hidden_size)}

    def layer_tensors(self) -> Shapes:
        """Return those of layers and mergers."""
        shapes: Shapes = {}
        for layer in range(self.num_layers):
            shapes |= {f"{PREFIX}blocks.{layer}.{name}": shape for name, shape in self._block().items()}
        for number in range(len(self.deep)):
            shapes |= self._merger(f"{PREFIX}deepstack_merger_list.{number}.", self.hidden_size * self.unit)
        return shapes | self._merger(f"{PREFIX}merger.", self.hidden_size)

    def _block(self) -> Shapes:
        width, inner, names = self.hidden_size, self.intermediate_size, self.names
        shapes = self._norm("norm1", width) | with_bias("attn.qkv", (3 * width, width))
        shapes |= with_bias("attn.proj", (width, width)) | self._norm("norm2", width)
        for part in (names.gate, names.up):
            shapes |= with_bias(part, (inner, width)) if part else {}
        return shapes | with_bias(names.down, (width, inner))

    def _norm(self, name: str, width: int) -> Shapes:
        return {f"{name}.weight": (width,)} if self.rms else with_bias(name, (width,))

    def _merger(self, prefix: str, normed: int) -> Shapes:
        wide, names = self.hidden_size * self.unit, self.names
        shapes = self._norm(prefix + names.merged_norm, normed) | with_bias(prefix + names.merged_first, (wide, wide))
        return shapes | with_bias(prefix + names.merged_second, (self.out_size, wide))

    # -- the graphs of optimum-intel

    def graphs(self) -> tuple[Graph, ...]:
        """Return the graphs as optimum-intel parts them."""
        rows = Output(LAST_HIDDEN_STATE, (-1, self.hidden_size))
        first = Graph(
            VISION_EMBEDDINGS, (Input(HIDDEN, (-1, self.pixels)),), (rows,), self.patch_tensors(),
            lambda ops, given: [embed(ops, self, given[HIDDEN])], lambda made, _: {HIDDEN: made[PIXELS]},
        )  # fmt: skip
        return (first, *(self._place_graph() if self.table else ()), self._merger_graph())

    def _place_graph(self) -> tuple[Graph, ...]:
        rows = Output(LAST_HIDDEN_STATE, (-1, -1, self.hidden_size))
        return (
            Graph(
                POSITIONS, (Input(TABLE_INPUT, (4, -1), "int64"),), (rows,), self.place_tensors(),
                lambda ops, given: [ops.rows(self.places, given[TABLE_INPUT])],
                lambda made, _: {TABLE_INPUT: corners(self, grid.places(grids_of(made), self.merge))[0]},
            ),
        )  # fmt: skip

    def _merger_graph(self) -> Graph:
        inputs = [Input(HIDDEN, (-1, self.hidden_size)), Input(MASK, (1, -1, -1))]
        if self.window:
            inputs += [Input(WINDOW_MASK, (1, -1, -1)), Input(WINDOWS, (-1,), "int64")]
        inputs.append(Input(ANGLES, (-1, self.head_dim // 2)))
        outputs = [Output(LAST_HIDDEN_STATE, (-1, self.out_size))]
        if self.deep:
            outputs.append(Output(DEEP, (len(self.deep), -1, self.out_size)))
        return Graph(MERGER, (*inputs,), (*outputs,), self.layer_tensors(), self._write_merger, self._feed_merger)

    def _feed_merger(self, made: Arrays, before: Arrays) -> dict[str, Array]:
        found = grid.places(grids_of(made), self.merge)
        hidden = before[f"{VISION_EMBEDDINGS}.{LAST_HIDDEN_STATE}"]
        if self.table:
            weights = corners(self, found)[1]
            hidden = hidden + (before[f"{POSITIONS}.{LAST_HIDDEN_STATE}"] * weights[..., None]).sum(0, dtype=np.float32)
        fed = {HIDDEN: hidden, MASK: grid.seen(found.frame), ANGLES: grid.angles(found, self.head_dim)}
        if self.window:
            numbers = grid.windows(found, self.merge, self.window)
            order = np.argsort(numbers[:: self.unit], kind="stable")
            fed |= {WINDOWS: order, WINDOW_MASK: grid.seen(np.repeat(numbers[:: self.unit][order], self.unit))}
        return fed

    def _write_merger(self, ops: Ops[Any], given: Mapping[str, Any]) -> list[Any]:
        hidden, by = given[HIDDEN], given[ANGLES]
        masks = [ops.unsqueezed(given[name], [0]) for name in (MASK, WINDOW_MASK) if name in given]
        order = given.get(WINDOWS)
        if order is not None:
            hidden = self._units(ops, hidden, self.hidden_size, order)
            by = self._units(ops, by, self.head_dim // 2, order)
        merged, *deep = layers(ops, self, hidden, ops.turned_by(by, self._rope), masks)
        if order is not None:
            merged = ops.taken(merged, ops.inverse(order), 0)
        return [merged, *([ops.concat([ops.unsqueezed(one, [0]) for one in deep], 0)] if deep else [])]

    def _units(self, ops: Ops[Any], states: Any, width: int, order: Any) -> Any:
        """Put the units of patches, [n, width], in another order."""
        wide = ops.reshape(states, [-1, self.unit * width])
        return ops.reshape(ops.taken(wide, order, 0), [-1, width])

    @property
    def _rope(self) -> Rope:
        return Rope(10000.0, self.head_dim)

    # -- all in one

    def in_one(self) -> Graph:
        """Return all of it as one graph of patches and grids."""
        inputs = (Input(PIXELS, (-1, self.pixels)), Input(GRID, (-1, 3), "int64"))
        outputs = [Output(LAST_HIDDEN_STATE, (-1, self.out_size))]
        if self.deep:
            outputs.append(Output(DEEP, (len(self.deep), -1, self.out_size)))
        tensors = self.patch_tensors() | self.place_tensors() | self.layer_tensors()
        return Graph(VISION_EMBEDDINGS, inputs, (*outputs,), tensors, self._write_all)

    def _write_all(self, ops: Ops[Any], given: Mapping[str, Any]) -> list[Any]:
        found = grid.written(ops, given[PIXELS], given[GRID], self.merge)
        hidden = embed(ops, self, given[PIXELS])
        if self.table:
            hidden = ops.add(hidden, _stretched(ops, self, found))
        rotation = ops.turned_by(grid.written_angles(ops, found, self.head_dim), self._rope)
        masks = [ops.only_same(found.frame)]
        if self.window:
            masks.append(ops.only_same(grid.written_windows(ops, found, self.merge, self.window)))
        merged, *deep = layers(ops, self, hidden, rotation, masks)
        return [merged, *([ops.concat([ops.unsqueezed(one, [0]) for one in deep], 0)] if deep else [])]


def embed(ops: Ops[T], v: GridTower, patches: T) -> T:
    """Write down how patches [n, numbers] become rows [n, width]."""
    return ops.flat_linear(patches, f"{PREFIX}patch_embed.proj", v.patch_bias)


def corners(v: GridTower, found: Places[Array]) -> tuple[Array, Array]:
    """Return the four places of the table around each patch int64 [4, n], and their weights float32 [4, n]."""
    assert v.table
    sides = []
    for at, count in ((found.row, found.rows), (found.column, found.columns)):
        exact = (at * np.float32(v.table - 1) / np.maximum(count - 1, 1)).astype(np.float32)
        low = exact.astype(np.int64)
        sides.append((low, np.minimum(low + 1, v.table - 1), exact - low.astype(np.float32)))
    (top, bottom, down), (left, right, across) = sides
    index = [y * v.table + x for y in (top, bottom) for x in (left, right)]
    weights = [y * x for y in (1 - down, down) for x in (1 - across, across)]
    return np.stack(index), np.stack(weights).astype(np.float32)


def _stretched(ops: Ops[T], v: GridTower, found: Places[T]) -> T:
    """Write down what `corners` computes, and the sum: [n, width]."""
    assert v.table
    one, last, sides = ops.whole(1), ops.whole(v.table - 1), []
    for at, count in ((found.row, found.rows), (found.column, found.columns)):
        steps = ops.real(ops.most(ops.minus(count, one), one))
        exact = ops.divide(ops.scale(ops.real(at), float(v.table - 1)), steps)
        low = ops.truncated(exact)
        part = ops.minus(exact, ops.real(low))
        sides.append((low, ops.least(ops.add(low, one), last), part))
    (top, bottom, down), (left, right, across) = sides
    total: T | None = None
    for y, vertical in ((top, _rest(ops, down)), (bottom, down)):
        for x, horizontal in ((left, _rest(ops, across)), (right, across)):
            rows = ops.rows(v.places, ops.add(ops.multiply(y, ops.whole(v.table)), x))
            weighted = ops.multiply(rows, ops.unsqueezed(ops.multiply(vertical, horizontal), [1]))
            total = weighted if total is None else ops.add(total, weighted)
    assert total is not None
    return total


def _rest(ops: Ops[T], share: T) -> T:
    return ops.minus(ops.floats(1.0), share)


def layers(ops: Ops[T], v: GridTower, hidden: T, rotation: Rotation[T], masks: list[T]) -> list[T]:
    """Write the layers down: rows [n, width] to merged ones [n / unit, out], and likewise those of `deep`.

    `masks` are that of a frame, and that of a window, if there are windows.
    """
    further = []
    states = ops.unsqueezed(hidden, [0])
    for layer in range(v.num_layers):
        prefix, mask = f"{PREFIX}blocks.{layer}.", masks[0] if layer in v.whole else masks[-1]
        heads = _heads(ops, v, _norm(ops, v, states, prefix + "norm1"), prefix + "attn.", rotation)
        sizes = Heads(v.num_heads, v.num_heads, v.head_dim)
        context = ops.attention(*heads, mask, heads=sizes, scale=v.head_dim**-0.5, name=prefix + "attn.sdpa")
        states = ops.add(states, ops.linear(context, prefix + "attn.proj", True), prefix + "residual")
        states = ops.add(states, _mlp(ops, v, _norm(ops, v, states, prefix + "norm2"), prefix), prefix + "output")
        if layer in v.deep:
            own = f"{PREFIX}deepstack_merger_list.{v.deep.index(layer)}."
            further.append(_merged(ops, v, states, own, late=True))
    return [_merged(ops, v, states, f"{PREFIX}merger.", late=False), *further]


def _norm(ops: Ops[T], v: GridTower, states: T, name: str) -> T:
    return ops.rms_norm(states, name, v.eps) if v.rms else ops.layer_norm(states, name, v.eps)


def _heads(ops: Ops[T], v: GridTower, states: T, prefix: str, rotation: Rotation[T]) -> tuple[T, T, T]:
    """Query, key and value, [1, heads, n, width] each."""
    width = v.head_dim
    parts = ops.split(ops.linear(states, prefix + "qkv", True), [v.hidden_size] * 3)
    query, key, value = (ops.heads_first(ops.heads(part, v.num_heads, width)) for part in parts)
    return ops.rotate(query, rotation, width), ops.rotate(key, rotation, width), value


def _mlp(ops: Ops[T], v: GridTower, states: T, prefix: str) -> T:
    names = v.names
    inner = ops.linear(states, prefix + names.up, True)
    if names.gate:
        inner = ops.multiply(ops.activate(ops.linear(states, prefix + names.gate, True), v.activation), inner)
    else:
        inner = ops.activate(inner, v.activation)
    return ops.linear(inner, prefix + names.down, True)


def _merged(ops: Ops[T], v: GridTower, states: T, prefix: str, *, late: bool) -> T:
    """Put the patches of each unit side by side, and pass them through two products; `late`: normalized only then."""
    wide, names = [-1, v.hidden_size * v.unit], v.names
    if late:
        rows = _norm(ops, v, ops.reshape(states, wide), prefix + names.merged_norm)
    else:
        rows = ops.reshape(_norm(ops, v, states, prefix + names.merged_norm), wide)
    inner = ops.activate(ops.linear(rows, prefix + names.merged_first, True), "gelu")
    return ops.linear(inner, prefix + names.merged_second, True)
