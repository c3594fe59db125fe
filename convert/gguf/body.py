"""What the layout of a file asks of a description, be it a decoder's or an encoder's."""

from __future__ import annotations

from typing import Protocol

from ..program.experts import Experts


class Body(Protocol):
    """What the file's layout asks of a description: a decoder has it, and so has an encoder (`gguf.encoders`)."""

    @property
    def family(self) -> str:
        """Its model_type."""

    @property
    def vocab_size(self) -> int:
        """Rows of the table of tokens."""

    @property
    def num_layers(self) -> int:
        """Number of layers."""

    @property
    def num_heads(self) -> int:
        """Of queries."""

    @property
    def num_kv_heads(self) -> int:
        """Of keys."""

    @property
    def experts(self) -> tuple[Experts | None, ...]:
        """Of each layer."""

    @property
    def tied(self) -> bool:
        """The head is the table of tokens."""

    @property
    def delicate(self) -> frozenset[str]:
        """Tensors that get no fewer than eight bits."""

    @property
    def assumed(self) -> tuple[str, ...]:
        """Values absent from config.json, as sentences."""

    def tensors(self) -> dict[str, tuple[int, ...]]:
        """Return name and shape of every tensor."""
