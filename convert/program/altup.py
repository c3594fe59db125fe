"""AltUp: several streams of states beside each other, of which one passes each layer and the others are predicted (Gemma 3n).

Before a layer each stream is predicted from all; behind it what the layer changed of the active one corrects every stream. The
coefficients follow from the active stream, token by token.
Source: `transformers/models/gemma3n/modeling_gemma3n.py`, `Gemma3nTextAltUp` and `Gemma3nTextModel.forward`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .ops import Ops, T

_IN, _OUT = "model.altup_projections", "model.altup_unembed_projections"
_PREDICTION, _CORRECTION = "altup.prediction_coefs", "altup.correction_coefs"
_ROUTER, _NORM, _SCALE = "altup.modality_router", "altup.router_norm", "altup.correct_output_scale"
COEFFICIENTS = tuple(f"{module}.weight" for module in (_PREDICTION, _CORRECTION, _ROUTER))
"""Small matrices by which streams are mixed: errors of theirs reach every stream of every layer behind."""
_LEAST = 1e-5
"""The mean square that a stream is taken to have at least."""
Shapes = dict[str, tuple[int, ...]]


@dataclass(frozen=True)
class AltUp:
    """The streams.

    Attributes:
        streams: their number.
        active: the one that passes the layers.
        hidden: the width of each.
        eps: of the norms.
    """

    streams: int
    active: int
    hidden: int
    eps: float

    def outer(self) -> Shapes:
        """Return name and shape of the tensors outside the layers."""
        square = (self.hidden, self.hidden)
        return {f"{module}.{i}.weight": square for module in (_IN, _OUT) for i in range(self.streams - 1)}

    def inner(self) -> Shapes:
        """Return the same of a layer's tensors, by their names behind its prefix."""
        count = self.streams
        return {
            _SCALE: (self.hidden,),
            f"{_CORRECTION}.weight": (count, count),
            f"{_PREDICTION}.weight": (count * count, count),
            f"{_ROUTER}.weight": (count, self.hidden),
            f"{_NORM}.weight": (self.hidden,),
        }

    def spread(self, ops: Ops[T], embedded: T) -> list[T]:
        """Make all streams of [batch, n, hidden]: projections of it, of its magnitude."""
        target = ops.magnitude(embedded, 0.0)
        others = [ops.linear(embedded, f"{_IN}.{i}", False) for i in range(self.streams - 1)]
        return [embedded, *(self._as_large(ops, one, target) for one in others)]

    def merged(self, ops: Ops[T], streams: Sequence[T]) -> T:
        """Return the mean of the first stream and of projections of the others that have its magnitude."""
        first, *others = streams
        target = ops.magnitude(first, 0.0)
        for i, one in enumerate(others):
            first = ops.add(first, self._as_large(ops, ops.linear(one, f"{_OUT}.{i}", False), target))
        return ops.scale(first, 1.0 / self.streams)

    def _as_large(self, ops: Ops[T], states: T, target: T) -> T:
        return ops.multiply(states, ops.divide(target, ops.magnitude(states, _LEAST)))

    def predicted(self, ops: Ops[T], streams: Sequence[T], prefix: str) -> list[T]:
        """Add to each stream a mixture of all, before a layer."""
        coefficients = ops.linear(self._kinds(ops, streams[self.active], prefix), prefix + _PREDICTION, False)
        stacked = ops.heads(ops.joined(streams), self.streams, self.hidden)
        mixed = ops.product(ops.heads(coefficients, self.streams, self.streams), stacked)
        parts = ops.split(ops.flat(mixed, self.streams * self.hidden), [self.hidden] * self.streams)
        return [ops.add(part, stream) for part, stream in zip(parts, streams, strict=True)]

    def corrected(self, ops: Ops[T], predicted: Sequence[T], made: T, prefix: str) -> list[T]:
        """Add to each stream its share, 1 and more, of how what the layer made differs from what was predicted."""
        shares = ops.linear(self._kinds(ops, made, prefix), prefix + _CORRECTION, False)
        news = ops.add(made, ops.scale(predicted[self.active], -1.0))
        each = ops.split(shares, [1] * self.streams)
        return [
            ops.add(ops.add(stream, news), ops.multiply(news, share))
            for stream, share in zip(predicted, each, strict=True)
        ]

    def scaled(self, ops: Ops[T], states: T, prefix: str) -> T:
        """Return the active stream as the layer's own input is multiplied with it."""
        return ops.multiply_stored(states, prefix + _SCALE)

    def _kinds(self, ops: Ops[T], states: T, prefix: str) -> T:
        """Return a number of each stream, between -1 and 1, for [batch, n, hidden]."""
        normed = ops.scale(ops.rms_norm(states, prefix + _NORM, self.eps), 1.0 / self.hidden)
        return ops.tanh(ops.linear(normed, prefix + _ROUTER, False))
