"""What mixes positions in a layer in attention's place: its tensors, its states, and its program over `Ops`.

A state is declared by the layer that keeps it; OpenVINO's variables, ONNX's inputs and outputs and whoever runs either follow.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from .ops import Ops, State, T

Shapes = dict[str, tuple[int, ...]]


class Mixer(Protocol):
    """What a layer's `Decoder.mixers` entry is."""

    def tensors(self, hidden: int) -> Shapes:
        """Return name behind the layer's prefix, and shape, of each tensor, in the order in which the graph reads them."""

    def states(self, layer: int) -> tuple[State, ...]:
        """Return what the layer of this number keeps."""

    def delicate(self) -> tuple[str, ...]:
        """Return the names, behind the layer's prefix, of weights that four bits would spoil."""

    def mix(self, ops: Ops[T], hidden: T, kept: T, prefix: str, layer: int) -> T:
        """Mix positions.

        Args:
            ops: the format's layers.
            hidden: [batch, n, hidden], normalized.
            kept: `Ops.kept`; what enters a state is multiplied by it.
            prefix: what the layer's names begin with.
            layer: its number.
        """


@dataclass(frozen=True)
class ShortConv:
    """A causal convolution of a few taps between two gates (LFM2).

    Source: `transformers/models/lfm2/modeling_lfm2.py`, `Lfm2ShortConv`.

    Attributes:
        channels: convolved each by itself; the width of the model.
        taps: positions that one sees, itself included.
        bias: of both projections and of the convolution.
    """

    channels: int
    taps: int
    bias: bool = False

    def tensors(self, hidden: int) -> Shapes:
        """As `Mixer` says."""
        shapes: Shapes = {}
        for name, shape in (
            ("conv.in_proj", (3 * self.channels, hidden)),
            ("conv.conv", (self.channels, 1, self.taps)),
            ("conv.out_proj", (hidden, self.channels)),
        ):
            shapes[f"{name}.weight"] = shape
            if self.bias:
                shapes[f"{name}.bias"] = shape[:1]
        return shapes

    def states(self, layer: int) -> tuple[State, ...]:
        """As `Mixer` says."""
        return (State("conv", layer, (self.channels, self.taps)),)

    def delicate(self) -> tuple[str, ...]:
        """Return none: an error passes on with a few positions, and no further."""
        return ()

    def mix(self, ops: Ops[T], hidden: T, kept: T, prefix: str, layer: int) -> T:
        """As `Mixer` says."""
        before, behind, values = ops.split(ops.linear(hidden, prefix + "conv.in_proj", self.bias), [self.channels] * 3)
        (state,) = self.states(layer)
        entering = ops.multiply(ops.multiply(before, values), kept)
        mixed = ops.causal_convolution(entering, prefix + "conv.conv", state, self.bias)
        return ops.linear(ops.multiply(behind, mixed), prefix + "conv.out_proj", self.bias)
