"""ModernBERT's encoder: rotary positions, norms in front, a gated MLP, and layers that see a neighborhood alone. Over `Ops`.

Tensor names are transformers': embeddings.*, layers.N.*, final_norm, behind "model." where there is a head.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from .encoder import IDS, MASK
from .ops import Heads, Ops, Rotation, T
from .reading import contradicting
from .rope import Rope
from .task import Task

Shapes = dict[str, tuple[int, ...]]
_TABLE = "embeddings.tok_embeddings.weight"
_HEAD = ("head.dense", "head.norm", "classifier")


@dataclass(frozen=True)
class Modern:
    """One encoder of this kind.

    Attributes:
        family: model_type.
        task: what it is for; of one that gives scores `pooling` says what its head reads.
        prefix: of its tensors' names.
        vocab_size: rows of the table of tokens.
        width: of a token's states.
        inner: width of the MLP.
        num_heads: of attention.
        eps: of its norms.
        activation: of the MLP.
        reaches: of each layer, how many positions one sees on either side; None: all.
        rotations: of each layer, its rotary embedding.
        positions: tokens that a text may have.
        attention_bias: attention's projections have biases.
        mlp_bias: those of the MLP do.
        norm_bias: its norms do.
        head_bias: the first layer of the head does.
        head_activation: behind that layer.
        assumed: values absent from config.json, as sentences.
    """

    family: str
    task: Task
    prefix: str
    vocab_size: int
    width: int
    inner: int
    num_heads: int
    eps: float
    activation: str
    reaches: tuple[int | None, ...]
    rotations: tuple[Rope, ...]
    positions: int
    attention_bias: bool = False
    mlp_bias: bool = False
    norm_bias: bool = False
    head_bias: bool = False
    head_activation: str = "gelu"
    assumed: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Raise CheckpointError for numbers that contradict each other."""
        if self.width % self.num_heads or (self.width // self.num_heads) % 2:
            raise contradicting(f"{self.num_heads} heads cannot share a width of {self.width} in pairs")

    @property
    def num_layers(self) -> int:
        """Number of layers."""
        return len(self.reaches)

    @property
    def inputs(self) -> tuple[str, ...]:
        """No token types."""
        return IDS, MASK

    @property
    def unused(self) -> tuple[str, ...]:
        """The head that fills gaps."""
        return () if self.task.kind == "score" else ("head.*", "decoder.*")

    @property
    def lookups(self) -> frozenset[str]:
        """The table of tokens."""
        return frozenset([self.prefix + _TABLE])

    @property
    def kept(self) -> frozenset[str]:
        """None."""
        return frozenset()

    @property
    def prefixes(self) -> tuple[str, ...]:
        """That of its body, where the class for the task is the body alone."""
        return ("", self.prefix) if self.prefix else ("",)

    @property
    def ropes(self) -> int:
        """Those that differ."""
        return len(dict.fromkeys(self.rotations))

    def tensors(self) -> Shapes:
        """Return name and shape of every tensor in the order of the graph."""
        width, inner, norm = self.width, self.inner, self.norm_bias
        shapes: Shapes = {_TABLE: (self.vocab_size, width)} | _norm("embeddings.norm", width, norm)
        for layer in range(self.num_layers):
            inside = _norm("attn_norm", width, norm) if layer else {}
            inside |= _linear("attn.Wqkv", 3 * width, width, self.attention_bias)
            inside |= _linear("attn.Wo", width, width, self.attention_bias)
            inside |= _norm("mlp_norm", width, norm)
            inside |= _linear("mlp.Wi", 2 * inner, width, self.mlp_bias)
            inside |= _linear("mlp.Wo", width, inner, self.mlp_bias)
            shapes |= {f"layers.{layer}.{name}": shape for name, shape in inside.items()}
        shapes |= _norm("final_norm", width, norm)
        found = {self.prefix + name: shape for name, shape in shapes.items()}
        if self.task.kind == "score":
            dense, normed, last = _HEAD
            found |= _linear(dense, width, width, self.head_bias) | _norm(normed, width, norm)
            found |= _linear(last, self.task.labels, width, True)
        return found

    def write(self, ops: Ops[T], given: Mapping[str, T]) -> T:
        """Write the program down."""
        ids, mask = given[IDS], given[MASK]
        positions = ops.places(ids)
        sights = {reach: ops.sight(ids, mask, reach) for reach in dict.fromkeys(self.reaches)}
        turns = {rope: ops.rotation(positions, rope) for rope in dict.fromkeys(self.rotations)}
        hidden = self._norm(ops, ops.embed(self.prefix + _TABLE, ids), self.prefix + "embeddings.norm")
        for layer, (reach, rope) in enumerate(zip(self.reaches, self.rotations, strict=True)):
            hidden = self._layer(ops, hidden, sights[reach], turns[rope], layer)
        hidden = self._norm(ops, hidden, self.prefix + "final_norm")
        if self.task.kind != "score":
            return hidden
        dense, normed, last = _HEAD
        hidden = ops.mean(hidden, mask) if self.task.pooling == "mean" else ops.first(hidden)
        hidden = ops.activate(ops.linear(hidden, dense, self.head_bias), self.head_activation)
        return ops.linear(self._norm(ops, hidden, normed), last, True)

    def _layer(self, ops: Ops[T], hidden: T, mask: T, turn: Rotation[T], layer: int) -> T:
        prefix, count, width = f"{self.prefix}layers.{layer}.", self.num_heads, self.width // self.num_heads
        normed = self._norm(ops, hidden, prefix + "attn_norm") if layer else hidden
        joint = ops.split(ops.linear(normed, prefix + "attn.Wqkv", self.attention_bias), [self.width] * 3)
        query, key, value = (ops.heads_first(ops.heads(part, count, width)) for part in joint)
        query, key = (ops.rotate(states, turn, width) for states in (query, key))
        context = ops.attention(
            query, key, value, mask, heads=Heads(count, count, width), scale=width**-0.5, name=prefix + "attn.sdpa"
        )
        hidden = ops.add(hidden, ops.linear(context, prefix + "attn.Wo", self.attention_bias))
        normed = self._norm(ops, hidden, prefix + "mlp_norm")
        inner, gate = ops.halves(ops.linear(normed, prefix + "mlp.Wi", self.mlp_bias))
        inner = ops.multiply(ops.activate(inner, self.activation), gate)
        return ops.add(hidden, ops.linear(inner, prefix + "mlp.Wo", self.mlp_bias))

    def _norm(self, ops: Ops[T], states: T, name: str) -> T:
        return ops.layer_norm(states, name, self.eps, bias=self.norm_bias)


def _linear(name: str, rows: int, columns: int, bias: bool) -> Shapes:
    shapes: Shapes = {f"{name}.weight": (rows, columns)}
    return shapes | ({f"{name}.bias": (rows,)} if bias else {})


def _norm(name: str, width: int, bias: bool) -> Shapes:
    parts = ("weight", "bias") if bias else ("weight",)
    return {f"{name}.{part}": (width,) for part in parts}
