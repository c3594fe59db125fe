"""Inputs and outputs of graphs."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Input:
    """An input of a graph.

    Attributes:
        name: of it.
        shape: -1 is a dimension of any size.
        kind: numpy's name of its type.
    """

    name: str
    shape: tuple[int, ...]
    kind: str = "float32"


@dataclass(frozen=True)
class Output:
    """An output of a graph, float32; `shape` as of `Input`."""

    name: str
    shape: tuple[int, ...]
