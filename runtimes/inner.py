"""What a decoder computes inside: the sum behind each residual connection, found in the graph by its form, not by its names.

A block adds what its attention makes to its input, and then what its MLP makes. Whatever the engine, each such sum is a node that
every way from the tokens to the logits passes, and in which several ways meet. Norms, projections and activations are either
passed by some ways alone (inside a branch), or are not sums.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy.typing as npt

from ..core.errors import ArtifactError

Array = npt.NDArray[Any]
Kind = Literal["sum", "product", "shape", "other"]
"""What a node computes: a sum of two, a product of matrices, the shape of its input, anything else."""


@dataclass(frozen=True)
class Node:
    """One node of a graph in an order in which each stands behind what it reads; `inputs` are numbers of nodes."""

    kind: Kind
    inputs: tuple[int, ...]


@dataclass(frozen=True)
class Places:
    """Numbers of nodes.

    Attributes:
        embeddings: whose output enters the first layer.
        sums: of each layer the sum behind its attention and the one behind its MLP; or that of both, where they stand side by
            side.
        normed: whose output the head takes.
    """

    embeddings: int
    sums: tuple[int, ...]
    normed: int


@dataclass(frozen=True)
class Inner:
    """What was computed for one text; all float32.

    Attributes:
        embeddings: what enters the first layer, [n, hidden].
        sums: as `Places.sums`, [n, hidden] each.
        normed: what the head takes, [n, hidden].
        logits: [n, vocab].
        single: computed in float32; else some of it in 16 bits.
    """

    embeddings: Array
    sums: tuple[Array, ...]
    normed: Array
    logits: Array
    single: bool = True


class InnerRuntime(Protocol):
    """A loaded decoder that shows what it computes inside."""

    name: str

    def layer_outputs(self, ids: Sequence[int]) -> Inner:
        """Run one text from an empty cache, reference precision."""

    def close(self) -> None:
        """Give the memory back."""


def find(nodes: Sequence[Node], start: int, end: int, layers: int) -> Places:
    """Find the residual sums between two nodes.

    Args:
        nodes: the graph.
        start: number of the node that gives the tokens, or their embeddings.
        end: number of the node that gives the logits.
        layers: how many the model has.

    Raises:
        ArtifactError: the graph has another number of such sums, or no head behind them.
    """
    necks = _necks(nodes, start, end)
    sums = [place for place, (number, joins) in enumerate(necks) if joins and nodes[number].kind == "sum"]
    if len(sums) not in (layers, 2 * layers):
        raise ArtifactError(
            f"The graph has {len(sums)} sums that every token passes; {layers} layers have {2 * layers}, or {layers} where "
            "attention and MLP stand side by side.",
            "Another form of the same model (another exporter, or without an optimizer's fusions) can be bisected.",
        )
    behind = [place for place in range(sums[-1] + 1, len(necks)) if nodes[necks[place][0]].kind == "product"]
    if not behind:
        raise ArtifactError("The graph has no head behind its last layer.", "Give a whole language model.")
    numbers = [number for number, _ in necks]
    return Places(numbers[sums[0] - 1], tuple(numbers[place] for place in sums), numbers[behind[-1] - 1])


def _necks(nodes: Sequence[Node], start: int, end: int) -> list[tuple[int, bool]]:
    """Return the nodes that every way from `start` to `end` passes, in order, and of each whether several ways meet in it.

    In an order in which each node stands behind what it reads, a node is passed by all ways if no edge leads over it.
    """
    inside = _between(nodes, start, end)
    readers = dict.fromkeys(inside, 0)
    for number in inside:
        for source in _read(nodes, number, inside):
            readers[source] += 1
    necks, open_edges = [], 0
    for number in sorted(inside):
        read = _read(nodes, number, inside)
        open_edges -= len(read)
        if not open_edges:
            necks.append((number, len(set(read)) > 1))
        open_edges += readers[number]
    return necks


def _between(nodes: Sequence[Node], start: int, end: int) -> set[int]:
    """Return the nodes on some way from `start` to `end`; a way does not lead through the shape of something."""
    reached = {start}
    for number in range(start + 1, end + 1):
        if nodes[number].kind != "shape" and any(source in reached for source in nodes[number].inputs):
            reached.add(number)
    wanted = {end}
    for number in range(end, start, -1):
        if number in wanted:
            wanted.update(source for source in nodes[number].inputs if source in reached)
    return reached & wanted


def _read(nodes: Sequence[Node], number: int, inside: set[int]) -> list[int]:
    return [source for source in nodes[number].inputs if source in inside]
