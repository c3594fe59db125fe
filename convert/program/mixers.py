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


@dataclass(frozen=True)
class GatedDelta:
    """A causal convolution and the gated delta rule, whose output is normalized and gated (Qwen 3.5, Qwen3-Next).

    Source: `transformers/models/qwen3_5/modeling_qwen3_5.py`, `Qwen3_5GatedDeltaNet`.

    Attributes:
        keys: heads of queries, and of keys.
        key_width: of one of them.
        heads: of values; those that share a key lie side by side.
        width: of one of them.
        taps: positions that the convolution sees, the last one's own included.
        eps: of the norm of the output.
        by_key: queries, keys, values and gates are one projection, which makes all of one key before the next; so are the two of
            one number a head.
    """

    keys: int
    key_width: int
    heads: int
    width: int
    taps: int
    eps: float
    by_key: bool = False

    @property
    def key_size(self) -> int:
        """Width of all queries together, and of all keys."""
        return self.keys * self.key_width

    @property
    def size(self) -> int:
        """Width of all values together."""
        return self.heads * self.width

    @property
    def channels(self) -> int:
        """Width of what is convolved."""
        return 2 * self.key_size + self.size

    def tensors(self, hidden: int) -> Shapes:
        """As `Mixer` says."""
        matrices = {f"linear_attn.{name}.weight": (rows, hidden) for name, rows in self._projections().items()}
        return matrices | {
            "linear_attn.conv1d.weight": (self.channels, 1, self.taps),
            "linear_attn.A_log": (self.heads,),
            "linear_attn.dt_bias": (self.heads,),
            "linear_attn.norm.weight": (self.width,),
            "linear_attn.out_proj.weight": (hidden, self.size),
        }

    def _projections(self) -> dict[str, int]:
        if self.by_key:
            return {"in_proj_qkvz": self.channels + self.size, "in_proj_ba": 2 * self.heads}
        return {"in_proj_qkv": self.channels, "in_proj_b": self.heads, "in_proj_a": self.heads, "in_proj_z": self.size}

    def states(self, layer: int) -> tuple[State, ...]:
        """As `Mixer` says."""
        return (
            State("conv", layer, (self.channels, self.taps)),
            State("recurrent", layer, (self.heads, self.key_width, self.width)),
        )

    def delicate(self) -> tuple[str, ...]:
        """Return all its matrices: what they add to the state stays there."""
        return tuple(f"linear_attn.{name}.weight" for name in (*self._projections(), "out_proj"))

    def _projected(self, ops: Ops[T], hidden: T, prefix: str) -> tuple[T, T, T, T]:
        """Return what is convolved, the gate, and one number a head for learning and one for forgetting, [batch, n, width]."""
        if not self.by_key:
            mixed, beta, rate, gate = (ops.linear(hidden, prefix + name, False) for name in self._projections())
            return mixed, gate, beta, rate
        each = self.heads // self.keys
        sizes = [self.key_width] * 2 + [each * self.width] * 2
        parts = ops.split(ops.heads(ops.linear(hidden, prefix + "in_proj_qkvz", False), self.keys, sum(sizes)), sizes)
        query, key, value, gate = (ops.flat(part, self.keys * size) for part, size in zip(parts, sizes, strict=True))
        numbers = ops.halves(ops.heads(ops.linear(hidden, prefix + "in_proj_ba", False), self.keys, 2 * each))
        beta, rate = (ops.flat(one, self.heads) for one in numbers)
        return ops.joined([query, key, value]), gate, beta, rate

    def mix(self, ops: Ops[T], hidden: T, kept: T, prefix: str, layer: int) -> T:
        """As `Mixer` says."""
        prefix += "linear_attn."
        conv, memory = self.states(layer)
        mixed, gate, beta, rate = self._projected(ops, hidden, prefix)
        entering = ops.multiply(mixed, kept)
        mixed = ops.activate(ops.causal_convolution(entering, prefix + "conv1d", conv, False), "silu")
        query, key, value = ops.split(mixed, [self.key_size, self.key_size, self.size])
        query, key = (ops.heads(one, self.keys, self.key_width) for one in (query, key))
        beta = ops.sigmoid(beta)
        decay = ops.decay(ops.steps(rate, prefix + "dt_bias"), prefix + "A_log")
        value = ops.heads(value, self.heads, self.width)
        made = ops.delta_rule(query, key, value, decay=decay, beta=beta, state=memory, keys=self.keys)
        gate = ops.activate(ops.heads(gate, self.heads, self.width), "silu")
        made = ops.multiply(ops.rms_norm(made, prefix + "norm", self.eps), gate)
        return ops.linear(ops.flat(made, self.size), prefix + "out_proj", False)
