"""What stands in the places of a model's layers: it remembers how they are called, and what is called behind them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal


@dataclass(frozen=True)
class Tail:
    """What a model does behind its layers.

    Attributes:
        as_tuple: its layers give back their states as the first of a tuple.
        modules: names of the decoder's parts that states pass one behind another; None: it does other things with them, too.
    """

    as_tuple: bool
    modules: tuple[str, ...] | None

    def run(self, body: Any, states: Any) -> Any:
        """Pass what the last layer made through `modules`, which have their weights."""
        for name in self.modules or ():
            states = getattr(body, name)(states)
        return states


class Recorder:
    """Stands in the layers' places for one run of the model.

    Attributes:
        calls: arguments and options with which each layer was called.
        entered: the states with which the first was called.
        untouched: each layer but the first was called with just what the one before it gave.
        gave: what each gave back.
        as_tuple: they give it back as the first of a tuple.
    """

    def __init__(
        self,
        layers: Sequence[Any],
        *,
        as_tuple: bool,
        given: Any = None,
        gives: Literal["zeros", "noise"] | None = None,
    ) -> None:
        """Take the layers; `given` is what the last one gives back, `gives` what all do, if not what they are called with."""
        self._layers = list(layers)
        self.as_tuple = as_tuple
        self._given = given
        self._gives = gives
        self.gave: list[Any] = []
        self._called_with: list[Any] = []
        self._last: Any = None
        self._behind: list[tuple[str, Any, Any]] = []
        self.calls: list[dict[str, Any]] = []
        self.entered: Any = None
        self.untouched = True

    @contextlib.contextmanager
    def standing_in(self, body: Any, name: str) -> Iterator[None]:
        """Put stand-ins into the decoder's list of layers for a while, and listen to its other parts."""
        import torch

        own = getattr(body, name)
        listened = [(part, module) for part, module in body.named_children() if module is not own]
        handles = [module.register_forward_hook(self._hearing(part)) for part, module in listened]
        setattr(body, name, torch.nn.ModuleList([self._stand(layer) for layer in self._layers]))
        try:
            yield
        finally:
            setattr(body, name, own)
            for handle in handles:
                handle.remove()

    def tail(self, result: Any) -> Tail:
        """Say what the model did behind the layers, which ended in `result`."""
        states, names = self._last, []
        for name, given, made in self._behind:
            if not _same(states, given):
                return Tail(self.as_tuple, None)
            states = made
            names.append(name)
        return Tail(self.as_tuple, tuple(names) if _same(states, result) else None)

    def _hearing(self, name: str) -> Any:
        def hear(_module: Any, given: tuple[Any, ...], made: Any) -> None:
            if len(self.calls) == len(self._layers):
                self._behind.append((name, given[0] if given else None, made))

        return hear

    def _called(self, states: Any, arguments: tuple[Any, ...], options: dict[str, Any]) -> Any:
        if not self.calls:
            self.entered = states
        elif not _same(states, self._last):
            self.untouched = False
        self.calls.append({"arguments": arguments, "options": options, "added": None})
        self._called_with.append(states)
        last = len(self.calls) == len(self._layers) and self._given is not None
        self._last = self._given if last else self._other(states)
        self.gave.append(self._last)
        return (self._last,) if self.as_tuple else self._last

    def _other(self, states: Any) -> Any:
        """Return what a layer gives back that is called with `states`."""
        import torch

        if self._gives is None:
            return states
        if self._gives == "zeros":
            return torch.zeros_like(states)
        return torch.randn(states.shape, generator=torch.Generator().manual_seed(len(self.calls))).to(states)

    def take_added(self, zeros: Recorder, noise: Recorder) -> bool:
        """Keep what the model adds to states between layers, by runs whose layers give back zeros and noise.

        Returns:
            False: something else is done with them; nothing is kept.
        """
        import torch

        pairs = list(zip(zeros._called_with[1:], noise.gave, noise._called_with[1:], strict=False))
        if not all(torch.equal(given + added, called) for added, given, called in pairs):
            return False
        for call, (added, _, _) in zip(self.calls, pairs, strict=False):
            call["added"] = added if added.any() else None
        return True

    def _stand(self, layer: Any) -> Any:
        import torch

        called = self._called

        class Stand(torch.nn.Module):  # type: ignore[misc]
            def __getattr__(self, name: str) -> Any:
                return getattr(layer, name)  # what a model reads from its layers before it calls them

            def forward(self, *arguments: Any, **options: Any) -> Any:
                states = arguments[0] if arguments else options.pop("hidden_states")
                return called(states, arguments[1:], options)

        return Stand()


def _same(one: Any, other: Any) -> bool:
    """Tell whether two values are the same place in memory, seen in the same shape."""
    import torch

    if not isinstance(one, torch.Tensor) or not isinstance(other, torch.Tensor):
        return False
    return bool(one.data_ptr() == other.data_ptr() and one.shape == other.shape)
