"""A decoder's block as an encoder: the states of a whole text, without a cache and without a head (Qwen3-Embedding)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from . import block
from .decoder import HEAD, Decoder
from .encoder import IDS, MASK
from .ops import Ops, T
from .reading import contradicting
from .task import Task


@dataclass(frozen=True)
class States:
    """One encoder of this kind.

    Attributes:
        decoder: its block.
        task: what it is for.
        positions: tokens that a text may have.
        both_ways: tokens see those behind them too.
    """

    decoder: Decoder
    task: Task
    positions: int
    both_ways: bool = False

    def __post_init__(self) -> None:
        """Raise CheckpointError for layers that keep something: they read a text from left to right, step by step."""
        if self.decoder.states or self.decoder.per_layer:
            raise contradicting("its layers keep states of their own, and it is said to embed texts")

    @property
    def family(self) -> str:
        """Its model_type."""
        return self.decoder.family

    @property
    def inputs(self) -> tuple[str, ...]:
        """Positions are counted in the graph."""
        return IDS, MASK

    @property
    def vocab_size(self) -> int:
        """Rows of the table of tokens."""
        return self.decoder.vocab_size

    @property
    def width(self) -> int:
        """Width of a token's states."""
        return self.decoder.hidden_size

    @property
    def num_layers(self) -> int:
        """Number of layers."""
        return self.decoder.num_layers

    @property
    def assumed(self) -> tuple[str, ...]:
        """Values absent from config.json, as sentences."""
        return self.decoder.assumed

    @property
    def unused(self) -> tuple[str, ...]:
        """The head."""
        return (HEAD,)

    @property
    def lookups(self) -> frozenset[str]:
        """The table of tokens."""
        return self.decoder.lookups

    @property
    def kept(self) -> frozenset[str]:
        """None."""
        return frozenset()

    @property
    def prefixes(self) -> tuple[str, ...]:
        """The class without a head has the names without "model."."""
        return "", "model."

    @property
    def ropes(self) -> int:
        """Those that differ."""
        return len(self.decoder.distinct_ropes())

    def tensors(self) -> dict[str, tuple[int, ...]]:
        """Return the decoder's tensors without the head."""
        return {name: shape for name, shape in self.decoder.tensors().items() if name != HEAD}

    def write(self, ops: Ops[T], given: Mapping[str, T]) -> T:
        """Write the program down."""
        return block.states(ops, self.decoder, given[IDS], given[MASK], both_ways=self.both_ways)
