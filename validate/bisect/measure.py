"""The errors of every operation: the artifact's states against those that transformers' layers make of the same input.

Of one operation five outputs are compared. The artifact's; the reference's in its own run; and three of the reference given the
artifact's input: with the checkpoint's weights, with the artifact's weights, and with these and rounded results. So what came in
from the layers before does not count, and what the rounding of the weights does is known, not guessed.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from ...core.errors import ArtifactError
from ...core.progress import Task
from ...runtimes.inner import Inner
from ..module_weights import Tensors
from ..reference import LayeredReference
from . import halves

Array = npt.NDArray[Any]
Change = Callable[[Any], contextlib.AbstractContextManager[None]]
_FLOAT32 = 2.0**-23
"""What the sum of a residual connection may lose, on each of the two sides half of it."""


@dataclass(frozen=True)
class Outputs:
    """Five outputs of one operation and what enters it (0: nothing is added to it), float32 [n, width]."""

    entering: Array | float
    artifact: Array
    reference: Array
    source: Array
    own: Array
    rounded: Array


@dataclass
class Measured:
    """Sums of squares of one operation over all texts; `modules` are the names of its parts in the layer."""

    layer: int | None
    name: str
    modules: frozenset[str] = frozenset()
    sums: dict[str, float] = field(default_factory=dict)

    def take(self, outputs: Outputs) -> None:
        """Add one text."""
        o = outputs
        for key, values in (
            ("error", o.artifact - o.reference), ("reference", o.reference),
            ("added", o.artifact - o.source), ("weights", o.own - o.source), ("to source", o.source - o.entering),
            ("computed", o.artifact - o.own), ("rounded", o.rounded - o.own), ("to own", o.own - o.entering),
            ("own", o.own),
        ):  # fmt: skip
            self.sums[key] = self.sums.get(key, 0.0) + float(np.square(values, dtype=np.float64).sum())

    def share(self, of: str, by: str) -> float:
        """Return the root of a quotient of two sums; NaN where it has no meaning."""
        above, below = self.sums[of], self.sums[by]
        return math.sqrt(above / below) if below else 0.0 if above == 0 else math.inf

    @property
    def tolerance(self) -> float:
        """What `computed` may be: rounded results, and the residual connection's own rounding to float32."""
        return math.hypot(self.share("rounded", "to own"), _FLOAT32 * self.share("own", "to own"))


class Sides:
    """The reference with the checkpoint's weights, and with the artifact's."""

    def __init__(
        self,
        model: LayeredReference,
        own: Tensors,
        documents: Sequence[Sequence[int]],
        frequencies: Array | None,
        bits: int,
    ) -> None:
        """Enter the first layer on both sides.

        Args:
            model: in float32, with the checkpoint's weights.
            own: the artifact's weights.
            documents: token ids.
            frequencies: rotary frequencies of the artifact where they are the config's rounded to float16.
            bits: of the mantissa to which results are rounded.
        """
        self.model, self.own, self.bits = model, own, bits
        self.states, self.calls = model.enter(documents)
        model.frequencies = frequencies
        self.entered, self.own_calls = model.enter(documents, tensors=own)
        model.frequencies = None


def measure(
    sides: Sides, inner: Sequence[Inner], task: Task, release: Callable[[], None], as_engine: Change | None
) -> Iterator[Measured]:
    """Give every operation, in order; `sides.states` pass through the layers meanwhile.

    Args:
        sides: the reference.
        inner: what the artifact computed for each document.
        task: reports each layer.
        release: gives memory back; called after each layer.
        as_engine: lets a layer compute as the artifact's engine is known to, for a while.

    Raises:
        ArtifactError: the artifact's layers have another form than the reference's.
    """
    import torch

    with torch.no_grad():
        yield _embeddings(sides, inner)
        for index in range(sides.model.depth):
            yield from _layer(sides, inner, index, as_engine)
            release()
            task.advance(1)
        yield from _ends(sides, inner)


def _embeddings(sides: Sides, inner: Sequence[Inner]) -> Measured:
    found = Measured(None, "embeddings", frozenset(["model.embed_tokens"]))
    for one, source, own in zip(inner, sides.states, sides.entered, strict=True):
        rounded = halves.to_bits(own, sides.bits)
        found.take(Outputs(0.0, one.embeddings, *map(_rows, (source, source, own, rounded))))
    return found


@dataclass
class _Runs:
    """Runs of one layer, of each document: in the reference's own pass, and on the artifact's input."""

    reference: list[halves.PassResult] = field(default_factory=list)
    source: list[halves.PassResult] = field(default_factory=list)
    own: list[halves.PassResult] = field(default_factory=list)
    rounded: list[halves.PassResult] = field(default_factory=list)


def _layer(sides: Sides, inner: Sequence[Inner], index: int, as_engine: Change | None) -> Iterator[Measured]:
    model = sides.model
    given = [_entering(one, index, model.depth) for one in inner]
    runs = _Runs()
    with model.layer(index, sides.calls) as layer:
        for d, states in enumerate(sides.states):
            runs.reference.append(halves.run(layer, d, states))
            runs.source.append(halves.run(layer, d, *given[d][:2]))
    with (
        model.layer(index, sides.own_calls, sides.own) as layer,
        as_engine(layer.module) if as_engine else contextlib.nullcontext(),
    ):
        for d in range(len(inner)):
            runs.own.append(halves.run(layer, d, *given[d][:2]))
        with halves.rounded(layer.module, sides.bits):
            for d in range(len(inner)):
                runs.rounded.append(halves.run(layer, d, *given[d][:2]))
        modules = {name for name, _ in layer.module.named_children()}
    sides.states = [made.end for made in runs.reference]
    yield from _halves(index, runs, given, modules)


def _entering(one: Inner, index: int, depth: int) -> tuple[Any, Any | None, Any]:
    """Return what entered a layer of the artifact, its middle (None: it has none), and what left it: torch [1, n, hidden]."""
    import torch

    each = len(one.sums) // depth
    before = one.sums[each * index - 1] if index else one.embeddings
    middle = one.sums[2 * index] if each == 2 else None
    end = one.sums[each * index + each - 1]
    return tuple(None if made is None else torch.from_numpy(made.copy())[None] for made in (before, middle, end))  # type: ignore[return-value]


def _halves(
    index: int, runs: _Runs, given: Sequence[tuple[Any, Any | None, Any]], modules: set[str]
) -> Iterator[Measured]:
    """Give both operations of a layer, or the one that it is."""
    first = runs.reference[0].first
    kind = "state space" if any("mamba" in name for name in first) else "attention"
    aside = runs.reference[0].middle is None
    if given[0][1] is None:
        whole = Measured(index, f"{kind} and MLP", frozenset(modules))
        for d, (before, _, end) in enumerate(given):
            whole.take(_outputs(before, end, [side[d].end for side in _of(runs)]))
        yield whole
        return
    if aside:
        raise ArtifactError("The graph's layers have two sums, where the reference has attention and MLP side by side.")
    attention, mlp = Measured(index, kind, frozenset(first)), Measured(index, "MLP", frozenset(modules - first))
    for d, (before, middle, end) in enumerate(given):
        attention.take(_outputs(before, middle, [side[d].middle for side in _of(runs)]))
        mlp.take(_outputs(middle, end, [side[d].end for side in _of(runs)]))
    yield attention
    yield mlp


def _of(runs: _Runs) -> tuple[list[halves.PassResult], ...]:
    return runs.reference, runs.source, runs.own, runs.rounded


def _outputs(entering: Any, artifact: Any, others: Sequence[Any]) -> Outputs:
    return Outputs(*map(_rows, (entering, artifact, *others)))


def _ends(sides: Sides, inner: Sequence[Inner]) -> Iterator[Measured]:
    """Give the final norm and the head."""
    import torch

    norm, head = Measured(None, "final norm", frozenset(["model.norm"])), Measured(None, "head", frozenset(["lm_head"]))
    model, last = sides.model, [torch.from_numpy(one.sums[-1].copy())[None] for one in inner]
    reference, source = model.leave(sides.states), model.leave(last)
    own = model.leave(last, sides.own)
    for d, one in enumerate(inner):
        rounded = halves.to_bits(torch.from_numpy(own[d]), sides.bits).numpy()
        norm.take(Outputs(0.0, one.normed, reference[d], source[d], own[d], rounded))
    yield norm
    theirs, ours = model.head(), model.head(sides.own)
    for d, one in enumerate(inner):
        rounded = halves.to_bits(torch.from_numpy(one.normed.copy()), sides.bits).numpy()
        made = [theirs.logits(reference[d]), theirs.logits(one.normed), ours.logits(one.normed), ours.logits(rounded)]
        head.take(Outputs(0.0, one.logits, *made))
    yield head


def _rows(states: Any) -> Array:
    rows: Array = states[0].float().numpy()
    return rows
