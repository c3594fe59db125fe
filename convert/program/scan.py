"""The selective scan as a mixer: Mamba 2's layers, alone or beside attention (Granite 4, Falcon-H1, Codestral).

What each head keeps is a matrix that fades at a rate of its own, and to which each position adds a product of two vectors.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

from .decoder import Decoder
from .mixers import Shapes
from .ops import NO_LIMITS, Ops, State, T
from .reading import Reader, UnsupportedArchitecture, contradicting, whole, wrong

Limits = tuple[float, float]


@dataclass(frozen=True)
class Scan:
    """A causal convolution, a scan in steps that the input decides, and a gate (Mamba 2).

    Source: `transformers/models/mamba2/modeling_mamba2.py`, `Mamba2Mixer`.

    Attributes:
        module: its name behind the layer's prefix.
        heads: of what is scanned.
        width: of one of them.
        size: of the state: of the vectors by which a head is written and read.
        groups: heads that lie side by side share these vectors; there are so many pairs of them.
        taps: positions that the convolution sees, the last one's own included.
        eps: of the norm.
        norm: behind the gate, in front of it, or none.
        norm_groups: parts that are normalized each by itself.
        conv_bias: of the convolution.
        bias: of the first projection.
        out_bias: of the last one.
        limits: of the steps.
        scale: what enters is multiplied by it.
        scales: so are then the gate, the values, the two vectors and the steps.
    """

    module: str
    heads: int
    width: int
    size: int
    groups: int
    taps: int
    eps: float
    norm: Literal["behind", "before"] | None = "behind"
    norm_groups: int = 1
    conv_bias: bool = True
    bias: bool = False
    out_bias: bool = False
    limits: Limits = NO_LIMITS
    scale: float = 1.0
    scales: tuple[float, ...] = (1.0,) * 5

    def __post_init__(self) -> None:
        """Raise CheckpointError for numbers that contradict each other."""
        if self.heads % self.groups or self.inner % self.norm_groups:
            raise contradicting(
                f"{self.heads} heads of a scan, {self.inner} wide, cannot share {self.groups} groups evenly"
            )

    @property
    def inner(self) -> int:
        """Width of all heads together."""
        return self.heads * self.width

    @property
    def vectors(self) -> int:
        """Width of the vectors by which all groups are written, and read."""
        return self.groups * self.size

    @property
    def channels(self) -> int:
        """Width of what is convolved."""
        return self.inner + 2 * self.vectors

    def tensors(self, hidden: int) -> Shapes:
        """As `Mixer` says."""
        rows = self.inner + self.channels + self.heads
        shapes: Shapes = {"in_proj.weight": (rows, hidden)}
        if self.bias:
            shapes["in_proj.bias"] = (rows,)
        shapes["conv1d.weight"] = (self.channels, 1, self.taps)
        if self.conv_bias:
            shapes["conv1d.bias"] = (self.channels,)
        shapes |= {"dt_bias": (self.heads,), "A_log": (self.heads,), "D": (self.heads,)}
        if self.norm:
            shapes["norm.weight"] = (self.inner,)
        shapes["out_proj.weight"] = (hidden, self.inner)
        if self.out_bias:
            shapes["out_proj.bias"] = (hidden,)
        return {f"{self.module}.{name}": shape for name, shape in shapes.items()}

    def states(self, layer: int) -> tuple[State, ...]:
        """As `Mixer` says."""
        return (
            State("conv", layer, (self.channels, self.taps)),
            State("recurrent", layer, (self.heads, self.size, self.width)),
        )

    def delicate(self) -> tuple[str, ...]:
        """Return both its matrices: what they add to the state stays there."""
        return tuple(f"{self.module}.{name}.weight" for name in ("in_proj", "out_proj"))

    def mix(self, ops: Ops[T], hidden: T, kept: T, prefix: str, layer: int) -> T:
        """As `Mixer` says."""
        prefix += self.module + "."
        conv, memory = self.states(layer)
        gate, mixed, steps = self._projected(ops, hidden, prefix)
        entering = ops.multiply(mixed, kept)
        mixed = ops.activate(ops.causal_convolution(entering, prefix + "conv1d", conv, self.conv_bias), "silu")
        values, written, read = ops.split(mixed, [self.inner, self.vectors, self.vectors])
        if self.conv_bias:  # which makes something of padding, too
            values = ops.multiply(values, kept)
        values = ops.heads(values, self.heads, self.width)
        steps = ops.steps(steps, prefix + "dt_bias", self.limits)
        made = ops.scan(
            ops.heads(read, self.groups, self.size),
            ops.heads(written, self.groups, self.size),
            ops.multiply(values, ops.heads(steps, self.heads, 1)),
            decay=ops.decay(steps, prefix + "A_log"),
            state=memory,
            keys=self.groups,
        )
        made = ops.add(made, ops.multiply_each(values, prefix + "D"))
        made = self._gated(ops, ops.flat(made, self.inner), gate, prefix)
        return ops.linear(made, prefix + "out_proj", self.out_bias)

    def _projected(self, ops: Ops[T], hidden: T, prefix: str) -> tuple[T, T, T]:
        """Return the gate, what is convolved, and the steps before they are positive, [batch, n, width]."""
        if self.scale != 1:
            hidden = ops.scale(hidden, self.scale)
        made = ops.linear(hidden, prefix + "in_proj", self.bias)
        if set(self.scales) == {1.0}:
            gate, mixed, steps = ops.split(made, [self.inner, self.channels, self.heads])
            return gate, mixed, steps
        parts = ops.split(made, [self.inner, self.inner, self.vectors, self.vectors, self.heads])
        gate, *mixing, steps = (ops.scale(part, by) for part, by in zip(parts, self.scales, strict=True))
        return gate, ops.joined(mixing), steps

    def _gated(self, ops: Ops[T], made: T, gate: T, prefix: str) -> T:
        gate = ops.activate(gate, "silu")
        if self.norm == "before":
            return ops.multiply(self._normed(ops, made, prefix), gate)
        made = ops.multiply(made, gate)
        return self._normed(ops, made, prefix) if self.norm else made

    def _normed(self, ops: Ops[T], made: T, prefix: str) -> T:
        if self.norm_groups == 1:
            return ops.rms_norm(made, prefix + "norm", self.eps)
        parts = ops.heads(made, self.norm_groups, self.inner // self.norm_groups)
        made = ops.flat(ops.rms_norm(parts, None, self.eps), self.inner)
        return ops.multiply_stored(made, prefix + "norm.weight")


def read_limits(read: Reader) -> Limits:
    """Return within what the steps lie, by `time_step_limit`. Raises CheckpointError."""
    stated = read.config.get("time_step_limit")
    if stated is None:
        return NO_LIMITS
    bounds = [_bound(one) for one in stated] if isinstance(stated, list) else []
    pair = [one for one in bounds if one is not None]
    if len(bounds) != 2 or len(pair) != 2 or not 0 <= pair[0] <= pair[1]:
        raise wrong("time_step_limit", stated, "two numbers, the smaller first")
    return pair[0], pair[1]


def _bound(stated: Any) -> float | None:
    """Return a number that may be infinite, which transformers 5 writes as an object; None for what is none."""
    if isinstance(stated, dict):
        stated = {"Infinity": math.inf}.get(str(stated.get("__float__")))
    return float(stated) if type(stated) in (int, float) and not math.isnan(stated) else None


def read_scan(read: Reader, module: str, decoder: Decoder, inner: int | None = None) -> Scan:
    """Return the scan that fields "mamba_…" state; `inner` is its width, None: `mamba_expand` says it. Raises CheckpointError."""
    inner = inner or read.size("mamba_expand") * decoder.hidden_size
    heads, width = read.size("mamba_n_heads"), read.config.get("mamba_d_head")
    width = inner // heads if width in (None, "auto") else whole(width, "mamba_d_head")
    if heads * width != inner:
        raise contradicting(f"{heads} heads of a scan, {width} wide, are not the {inner} that its width is to be")
    if decoder.activation != "silu":
        raise UnsupportedArchitecture(f"its convolutions are followed by {decoder.activation}")
    return Scan(
        module, heads, width, read.size("mamba_d_state"), read.size("mamba_n_groups"), read.size("mamba_d_conv"),
        decoder.rms_norm_eps, conv_bias=bool(read.get("mamba_conv_bias")), bias=bool(read.get("mamba_proj_bias")),
        out_bias=bool(read.get("mamba_proj_bias")), limits=read_limits(read),
    )  # fmt: skip
