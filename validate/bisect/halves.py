"""A layer of transformers in its two halves: what attention leaves behind its residual connection, and what the MLP does.

Where the second half begins is found by running the layer: the first module that is given states which no module of the layer has
made, and which are not the layer's input, is given the sum behind the attention. It is read there, and can be put in its place,
so that both halves get the input that another engine had.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from ..reference import Layer

FLOAT16, BFLOAT16 = 11, 8
"""Bits of their mantissas, the leading one included."""


@dataclass
class PassResult:
    """One run of a layer; states are torch [1, n, hidden].

    Attributes:
        middle: behind the attention; None: attention and MLP stand side by side.
        end: behind the MLP.
        first: names of the modules that ran before the middle.
    """

    middle: Any | None = None
    end: Any | None = None
    first: set[str] = field(default_factory=set)


def run(layer: Layer, document: int, states: Any, middle: Any | None = None) -> PassResult:
    """Run a layer on states [1, n, hidden].

    Args:
        layer: it has its weights.
        document: its number, as `Layer.run` takes it.
        states: what enters it; stays as it is.
        middle: what the second half is to be given in the place of what the first one made.
    """
    made = PassResult()
    with _watched(layer.module, states, made, middle):
        made.end = layer.run(document, states)
    return made


@contextlib.contextmanager
def _watched(module: Any, states: Any, made: PassResult, middle: Any | None) -> Iterator[None]:
    known = [states]  # held, so that no other tensor takes the place of one that is gone

    def before(name: str, given: tuple[Any, ...], options: dict[str, Any]) -> None:
        hidden = given[0] if given else options.get("hidden_states")
        if made.middle is not None or hidden is None:
            return
        if made.first and hidden.shape == states.shape and not any(hidden is one for one in known):
            made.middle = hidden.clone()
            if middle is not None:
                hidden.copy_(middle)  # in place: the residual connection reads the same tensor
            return
        made.first.add(name)

    def after(result: Any) -> None:
        known.extend(result if isinstance(result, tuple | list) else [result])

    hooks = []
    for name, part in module.named_children():
        hooks.append(part.register_forward_pre_hook(lambda _, a, o, name=name: before(name, a, o), with_kwargs=True))
        hooks.append(part.register_forward_hook(lambda _, __, result: after(result)))
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


@contextlib.contextmanager
def rounded(module: Any, bits: int) -> Iterator[None]:
    """Round to so many bits whatever a part of a module makes that has no parts itself, for a while."""

    def round_(_: Any, __: Any, result: Any) -> Any:
        return to_bits(result, bits) if _is_float(result) else result

    leaves = [part for part in module.modules() if not list(part.children())]
    hooks = [part.register_forward_hook(round_) for part in leaves]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _is_float(value: Any) -> bool:
    import torch

    return isinstance(value, torch.Tensor) and value.is_floating_point()


def to_bits(values: Any, bits: int) -> Any:
    """Round a torch tensor to so many bits of mantissa; its range stays float32's."""
    import torch

    mantissa, exponent = torch.frexp(values)
    return torch.ldexp(torch.round(mantissa * 2**bits) / 2**bits, exponent)
