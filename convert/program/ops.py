"""What blocks are written with: operations at the level of layers, which each format's graphs implement (`Ops`).

A block program (`block`, `vit`) calls these in an order, once for all formats; a backend puts each into the form that
its runtime's fusions know. T is a value of the graph under construction. An operation joins when a family needs it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, Protocol

from .experts import Experts
from .picture_ops import PictureOps, T
from .rope import Rope

__all__ = ["Heads", "Ops", "Rotation", "State", "T"]

NO_LIMITS = (0.0, math.inf)
"""What no number that is positive goes beyond."""
UNIT_EPSILON = 1e-6
"""Added to the square of a length by which `delta_rule` divides."""


@dataclass(frozen=True)
class Heads:
    """Heads of attention.

    Attributes:
        queries: their number.
        keys: number of keys, and of values; each is shared by as many queries.
        width: of one head.
        values: width of a value, where it is not that of a key.
    """

    queries: int
    keys: int
    width: int
    values: int | None = None

    @property
    def value_width(self) -> int:
        """Width of a value."""
        return self.width if self.values is None else self.values

    @property
    def groups(self) -> int:
        """Queries that share a key."""
        return self.queries // self.keys


@dataclass(frozen=True)
class Rotation(Generic[T]):
    """Cosine and sine of every position's angles, in the backend's shape, and the embedding that they belong to."""

    cos: T
    sin: T
    rope: Rope


@dataclass(frozen=True)
class State:
    """What a layer keeps from one call to the next beside keys and values: float32 [batch, *shape], 0 before the first.

    Attributes:
        kind: "conv", the last positions that a convolution has read; "recurrent", what a recurrence carries on.
        layer: the number of the layer that keeps it.
        shape: behind the batch.
    """

    kind: str
    layer: int
    shape: tuple[int, ...]


class Ops(PictureOps[T], Protocol[T]):
    """The layers. Stored tensors go by their names in the checkpoint; states are float32."""

    def embed(self, table: str, ids: T) -> T:
        """Take the rows of [rows, width] that the ids int64 [batch, n] name: [batch, n, width]."""

    def linear(self, hidden: T, name: str, bias: bool) -> T:
        """Multiply [..., in] by `name`.weight [out, in], and add `name`.bias if it has one."""

    def linear_heads(self, hidden: T, name: str, heads: int, width: int) -> T:
        """Multiply [batch, n, in] by a weight with a bias, and part the product: [batch, n, heads, width]."""

    def logits(
        self, hidden: T, weight: str, *, scale: float = 1.0, softcap: float | None = None, bias: str | None = None
    ) -> T:
        """Multiply by the head [vocab, hidden], add `bias` [vocab], multiply by `scale`; cap at ± `softcap` by its tanh."""

    def rms_norm(self, states: T, name: str | None, eps: float, offset: float = 0.0) -> T:
        """Divide the last dimension by its root mean square; multiply by `name`.weight + `offset`, if there is a name."""

    def layer_norm(self, states: T, name: str, eps: float, *, bias: bool = True) -> T:
        """Normalize the last dimension; multiply by `name`.weight, and add `name`.bias if it has one."""

    def add(self, left: T, right: T, name: str | None = None) -> T:
        """Add; `name` is the sum's, where a graph has names of its own."""

    def add_stored(self, states: T, name: str) -> T:
        """Add a stored tensor."""

    def multiply(self, left: T, right: T) -> T:
        """Multiply value by value."""

    def multiply_stored(self, states: T, name: str) -> T:
        """Multiply by a stored tensor."""

    def multiply_each(self, states: T, name: str) -> T:
        """Multiply [batch, n, heads, width] by a stored tensor, [heads]."""

    def scale(self, states: T, factor: float) -> T:
        """Multiply by a number."""

    def activate(self, states: T, kind: str) -> T:
        """Apply one of `reading.ACTIVATIONS`."""

    def sigmoid(self, states: T) -> T:
        """Apply the logistic function."""

    def tanh(self, states: T) -> T:
        """Apply the hyperbolic tangent."""

    def divide(self, left: T, right: T) -> T:
        """Divide value by value."""

    def magnitude(self, states: T, least: float) -> T:
        """Return the root of the mean square of the last dimension, of which that is at least `least`: [..., 1]."""

    def above(self, states: T, deviations: float) -> T:
        """Return by how much values exceed the mean of the last dimension and so many (population) standard deviations, or 0."""

    def product(self, left: T, right: T) -> T:
        """Multiply matrices: [..., rows, inner] and [..., inner, columns]."""

    def experts(self, hidden: T, prefix: str, experts: Experts, activation: str) -> T:
        """Pass [batch, n, hidden] through the experts that the router chooses; `prefix` is the layer's.

        Expert and token meet once for each that is chosen, where the runtime can do that: the form is what its fusions know.
        """

    def halves(self, states: T) -> Sequence[T]:
        """Part the last dimension in two."""

    def split(self, states: T, sizes: Sequence[int]) -> Sequence[T]:
        """Part the last dimension by sizes."""

    def joined(self, parts: Sequence[T]) -> T:
        """Put parts side by side in the last dimension."""

    def heads(self, states: T, count: int, width: int) -> T:
        """[batch, n, count * width] -> [batch, n, count, width]."""

    def flat(self, states: T, width: int) -> T:
        """[batch, n, heads, width of a head] -> [batch, n, width]."""

    def heads_first(self, states: T) -> T:
        """[batch, n, heads, width] -> [batch, heads, n, width]."""

    def repeated(self, states: T, heads: Heads) -> T:
        """Give every query head its key or value: [batch, keys, n, width] -> [batch, queries, n, width]."""

    def rotation(self, positions: T, rope: Rope) -> Rotation[T]:
        """Compute the angles of positions int64 [batch, n], or [axes, batch, n], once for all layers that rotate so."""

    def turned_by(self, angles: T, rope: Rope) -> Rotation[T]:
        """Return the rotation by given angles, float32 [n, dim / 2], the same for a whole batch."""

    def growth(self, positions: T, beta: float, step: float) -> T:
        """Return 1 + `beta` * log(1 + floor(position / `step`)), [batch, 1, n, 1], for positions int64 [batch, n]."""

    def rotate(self, states: T, rotation: Rotation[T], width: int) -> T:
        """Rotate the first `rope.dim` dimensions of [batch, heads, n, width]."""

    def mask(self, start: T, attention_mask: T, groups: int, window: int | None = None, together: T | None = None) -> T:
        """Compute what is added to scores, once for all layers that see as much.

        Args:
            start: the graph's input, [batch, n, ...].
            attention_mask: int64 [batch, past + n]; a 0 is seen by none.
            groups: queries that share a key.
            window: how many positions one sees, itself included; None: itself and all before it.
            together: numbers of groups int64 [batch, n], as `runs` gives them: the positions of one see each other wherever they
                lie; 0: the position is of none.
        """

    def runs(self, kinds: T) -> T:
        """Number the runs of values that are not 0, int64 [batch, n] from 1 on, and the other places 0."""

    def numbered(self, places: T, states: T) -> T:
        """Number the places that are true, bool [batch, n], through all of the batch from 1 on, and the others 0: int64.

        The numbers stand as the states, [batch, n, hidden].
        """

    def rows_at(self, stacks: T, index: int, numbers: T) -> T:
        """Take of the stack of that index, of float32 [stacks, rows, width], the rows of these numbers [batch, n]; 0: zeros."""

    def kept(self, start: T, attention_mask: T) -> T:
        """Return 1, and 0 where `attention_mask` has a 0, for the new positions: [batch, n, 1]; arguments as of `mask`."""

    def remember(self, key: T, value: T, layer: int, heads: Heads) -> tuple[T, T]:
        """Append [batch, heads, n, width] to the layer's cache, and return all of it: any layer may attend to that.

        A value has the width of `heads.value_width`.
        """

    def attention(
        self,
        query: T,
        key: T,
        value: T,
        mask: T | None,
        *,
        heads: Heads,
        scale: float,
        name: str,
        softcap: float | None = None,
        sinks: str | None = None,
    ) -> T:
        """Attend: query [batch, queries, n, width], key and value [batch, keys, past + n, width] to [batch, n, queries * width].

        The last is the width of a value. No `mask`: all see all.

        Scores are multiplied by `scale`, then capped at ± `softcap` by its hyperbolic tangent, then masked. `sinks` is a stored
        tensor [queries]: the score of each head for a position that holds nothing.
        `name` is the node's, where a graph has names of its own.
        """

    def attention_to_all(self, query: T, key: T, value: T, *, heads: Heads, name: str) -> T:
        """Attend without mask and cache, three times [batch, n, heads, width] to [batch, n, heads * width]."""

    def causal_convolution(self, states: T, name: str, state: State, bias: bool) -> T:
        """Convolve each channel of [batch, n, channels] by itself, with what `state` kept in front, and keep the last of it.

        Args:
            states: as above.
            name: of the kernel, [channels, 1, taps], whose last tap is the position's own.
            state: [batch, channels, taps]: the inputs of the last positions, of which the first is not read again.
            bias: whether a `name`.bias is added.
        """

    def steps(self, states: T, bias: str, limits: tuple[float, float] | None = None) -> T:
        """Return log(1 + exp(states + `bias`)), [batch, n, heads], within limits; `bias` is stored, [heads]."""

    def decay(self, steps: T, rate: str) -> T:
        """Return log decays [batch, n, heads]: -exp(`rate`) * steps; `rate` is stored, [heads]."""

    def scan(self, query: T, key: T, value: T, *, decay: T, state: State, keys: int) -> T:
        """Scan position by position, from where `state` was left, and keep it.

        Of each head a matrix S [key width, value width] forgets, and learns: S *= exp(decay); S += key value^T; the output is
        S^T query.

        Args:
            query: [batch, n, keys, key width].
            key: the same.
            value: [batch, n, heads, value width]; a key serves as many heads that lie side by side.
            decay: [batch, n, heads], a logarithm.
            state: [batch, heads, key width, value width].
            keys: number of keys.

        Returns:
            [batch, n, heads, value width].
        """

    def delta_rule(self, query: T, key: T, value: T, *, decay: T, beta: T, state: State, keys: int) -> T:
        """Apply the gated delta rule, position by position, from where `state` was left, and keep it.

        Of each head a matrix S [key width, value width] forgets, and learns what it does not know of the value by the key:
        S *= exp(decay); S += key (beta * (value - S^T key))^T; the output is S^T query.

        Args:
            query: [batch, n, key heads, key width]; divided by its Euclidean length and by the root of the key's width.
            key: the same; divided by its Euclidean length.
            value: [batch, n, heads, value width]; a key serves as many heads that lie side by side.
            decay: [batch, n, heads], a logarithm.
            beta: [batch, n, heads], the share that is learned.
            state: [batch, heads, key width, value width].
            keys: number of key heads.

        Returns:
            [batch, n, heads, value width].
        """

    def rows(self, table: str, ids: T) -> T:
        """Take rows as `embed` does, of a small table that no scheme compresses."""

    def places(self, ids: T) -> T:
        """Number the positions of ids [batch, n] from 0 on: int64 [1, n]."""

    def counted(self, ids: T, pad: int) -> T:
        """Number the tokens of each row that are not `pad` from `pad` + 1 on, int64 [batch, n]; the others get `pad`."""

    def sight(self, ids: T, attention_mask: T, reach: int | None = None, groups: int = 1) -> T:
        """Compute what is added to scores where all positions see each other, in both directions.

        Args:
            ids: int64 [batch, n].
            attention_mask: int64 [batch, n]; a 0 is seen by none.
            reach: how many positions one sees on either side; None: all.
            groups: queries that share a key.
        """

    def first(self, states: T) -> T:
        """Take the first position: [batch, n, width] -> [batch, width]."""

    def mean(self, states: T, attention_mask: T) -> T:
        """Take the mean of those positions of which the mask is not 0: [batch, n, width] -> [batch, width]."""
