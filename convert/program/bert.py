"""BERT's encoder, and RoBERTa's: learned positions, norms behind what is added, an MLP without a gate. One program over `Ops`.

Tensor names are transformers': embeddings.*, encoder.layer.N.*, behind "bert." or "roberta." where there is a head.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from .encoder import IDS, MASK, TYPES
from .ops import Heads, Ops, T
from .reading import contradicting
from .task import Task

Shapes = dict[str, tuple[int, ...]]
_WORDS, _PLACES, _KINDS = (f"embeddings.{kind}_embeddings.weight" for kind in ("word", "position", "token_type"))
_PARTS = tuple(f"attention.self.{part}" for part in ("query", "key", "value"))
_OUTPUT = "attention.output.dense"


@dataclass(frozen=True)
class Bert:
    """One encoder of this kind.

    Attributes:
        family: model_type.
        task: what it is for.
        prefix: of its tensors' names.
        vocab_size: rows of the table of tokens.
        width: of a token's states.
        inner: width of the MLP.
        num_layers: number of layers.
        num_heads: of attention.
        eps: of its norms.
        activation: of the MLP.
        places: rows of the table of positions.
        kinds: rows of the table of token types.
        pad: positions are counted over tokens that are not this one, from `pad` + 1 on (RoBERTa); None: over all, from 0 on.
        head: the layers behind the first token's state that make scores, each with a hyperbolic tangent but the last.
        assumed: values absent from config.json, as sentences.
    """

    family: str
    task: Task
    prefix: str
    vocab_size: int
    width: int
    inner: int
    num_layers: int
    num_heads: int
    eps: float
    activation: str
    places: int
    kinds: int
    pad: int | None = None
    head: tuple[str, ...] = ()
    assumed: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Raise CheckpointError for numbers that contradict each other."""
        if self.width % self.num_heads:
            raise contradicting(f"{self.num_heads} heads cannot share a width of {self.width} evenly")

    @property
    def inputs(self) -> tuple[str, ...]:
        """Token types only where there are several."""
        return (IDS, MASK, TYPES) if self.kinds > 1 else (IDS, MASK)

    @property
    def positions(self) -> int:
        """The rows of the table, without those that no token has."""
        return self.places if self.pad is None else self.places - self.pad - 1

    @property
    def unused(self) -> tuple[str, ...]:
        """The pooler, and heads that fill gaps."""
        heads = ("cls.predictions.*", "cls.seq_relationship.*", "lm_head.*")
        return heads if self.head and "pooler" in self.head[0] else ("*pooler.*", *heads)

    @property
    def lookups(self) -> frozenset[str]:
        """The table of tokens."""
        return frozenset([self.prefix + _WORDS])

    @property
    def kept(self) -> frozenset[str]:
        """The tables of positions and token types: few rows, each of which stands in many sums."""
        return frozenset([self.prefix + _PLACES, self.prefix + _KINDS])

    @property
    def prefixes(self) -> tuple[str, ...]:
        """That of its body, where the class for the task is the body alone."""
        return ("", self.prefix) if self.prefix else ("",)

    @property
    def ropes(self) -> int:
        """None."""
        return 0

    def tensors(self) -> Shapes:
        """Return name and shape of every tensor in the order of the graph."""
        width, inner = self.width, self.inner
        shapes: Shapes = {_WORDS: (self.vocab_size, width), _KINDS: (self.kinds, width), _PLACES: (self.places, width)}
        shapes |= _norm("embeddings.LayerNorm", width)
        for layer in range(self.num_layers):
            inside: Shapes = {}
            for part in (*_PARTS, _OUTPUT):
                inside |= _linear(part, width, width)
            inside |= _norm("attention.output.LayerNorm", width)
            inside |= _linear("intermediate.dense", inner, width) | _linear("output.dense", width, inner)
            inside |= _norm("output.LayerNorm", width)
            shapes |= {f"encoder.layer.{layer}.{name}": shape for name, shape in inside.items()}
        found = {self.prefix + name: shape for name, shape in shapes.items()}
        for place, name in enumerate(self.head):
            found |= _linear(name, self.task.labels if place == len(self.head) - 1 else width, width)
        return found

    def write(self, ops: Ops[T], given: Mapping[str, T]) -> T:
        """Write the program down."""
        ids, mask = given[IDS], ops.sight(given[IDS], given[MASK])
        hidden = ops.embed(self.prefix + _WORDS, ids)
        kinds = self.prefix + _KINDS
        hidden = ops.add(hidden, ops.rows(kinds, given[TYPES])) if self.kinds > 1 else ops.add_stored(hidden, kinds)
        places = ops.places(ids) if self.pad is None else ops.counted(ids, self.pad)
        hidden = ops.add(hidden, ops.rows(self.prefix + _PLACES, places))
        hidden = ops.layer_norm(hidden, self.prefix + "embeddings.LayerNorm", self.eps)
        for layer in range(self.num_layers):
            hidden = self._layer(ops, hidden, mask, f"{self.prefix}encoder.layer.{layer}.")
        if not self.head:
            return hidden
        hidden = ops.first(hidden)
        for name in self.head[:-1]:
            hidden = ops.tanh(ops.linear(hidden, name, True))
        return ops.linear(hidden, self.head[-1], True)

    def _layer(self, ops: Ops[T], hidden: T, mask: T, prefix: str) -> T:
        count, width = self.num_heads, self.width // self.num_heads
        query, key, value = (ops.heads_first(ops.linear_heads(hidden, prefix + part, count, width)) for part in _PARTS)
        heads, name = Heads(count, count, width), prefix + "attention.sdpa"
        context = ops.attention(query, key, value, mask, heads=heads, scale=width**-0.5, name=name)
        hidden = ops.add(ops.linear(context, prefix + _OUTPUT, True), hidden)
        hidden = ops.layer_norm(hidden, prefix + "attention.output.LayerNorm", self.eps)
        inner = ops.activate(ops.linear(hidden, prefix + "intermediate.dense", True), self.activation)
        hidden = ops.add(ops.linear(inner, prefix + "output.dense", True), hidden)
        return ops.layer_norm(hidden, prefix + "output.LayerNorm", self.eps)


def _linear(name: str, rows: int, columns: int) -> Shapes:
    return {f"{name}.weight": (rows, columns), f"{name}.bias": (rows,)}


def _norm(name: str, width: int) -> Shapes:
    return {f"{name}.weight": (width,), f"{name}.bias": (width,)}
