"""Inputs of each layer's own: a second table gives each token a short vector for each layer (Gemma 3n and 4).

The vectors of all layers lie behind each other in a row of the table. What the token's embedding projects to is added to them.
Source: `transformers/models/gemma4/modeling_gemma4.py`, `project_per_layer_inputs` and `Gemma4TextDecoderLayer.forward`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .ops import Ops, T

LAYER_TABLE = "model.embed_tokens_per_layer.weight"
_PROJECTION, _NORM = "model.per_layer_model_projection", "model.per_layer_projection_norm"
_GATE, _BACK, _AFTER = "per_layer_input_gate", "per_layer_projection", "post_per_layer_input_norm"
Shapes = dict[str, tuple[int, ...]]


@dataclass(frozen=True)
class PerLayer:
    """The inputs of the layers.

    Attributes:
        layers: their number.
        width: of a layer's vector.
        rows: of the table; a token behind them has no vector.
        hidden: the width of the model.
        eps: of the norms.
        activation: of the gate.
    """

    layers: int
    width: int
    rows: int
    hidden: int
    eps: float
    activation: str

    @property
    def _all(self) -> int:
        return self.layers * self.width

    def outer(self) -> Shapes:
        """Return name and shape of the tensors outside the layers."""
        return {
            LAYER_TABLE: (self.rows, self._all),
            f"{_PROJECTION}.weight": (self._all, self.hidden),
            f"{_NORM}.weight": (self.width,),
        }

    def inner(self) -> Shapes:
        """Return the same of a layer's tensors, by their names behind its prefix."""
        return {
            f"{_GATE}.weight": (self.width, self.hidden),
            f"{_BACK}.weight": (self.hidden, self.width),
            f"{_AFTER}.weight": (self.hidden,),
        }

    def vectors(self, ops: Ops[T], ids: T, embedded: T) -> Sequence[T]:
        """Compute each layer's input, [batch, n, width], of ids int64 [batch, n] and their embeddings [batch, n, hidden]."""
        stored = ops.scale(ops.embed(LAYER_TABLE, ids), self.width**0.5)
        projected = ops.scale(ops.linear(embedded, _PROJECTION, False), self.hidden**-0.5)
        normed = ops.rms_norm(ops.heads(projected, self.layers, self.width), _NORM, self.eps)
        both = ops.scale(ops.add(ops.flat(normed, self._all), stored), 2.0**-0.5)
        return ops.split(both, [self.width] * self.layers)

    def given(self, ops: Ops[T], hidden: T, vector: T, prefix: str) -> T:
        """Return what a layer makes of its input and of [batch, n, hidden], to be added: [batch, n, hidden]."""
        gate = ops.activate(ops.linear(hidden, prefix + _GATE, False), self.activation)
        back = ops.linear(ops.multiply(gate, vector), prefix + _BACK, False)
        return ops.rms_norm(back, prefix + _AFTER, self.eps)
