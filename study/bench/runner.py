"""What is asked of a framework: load a model, read a prompt, make tokens."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from .model import Timing


@dataclass(frozen=True)
class Load:
    """What a runner loads.

    Attributes:
        path: an artifact, or a checkpoint's folder.
        device: OpenVINO's name; other frameworks run on the CPU.
        threads: of the computation; None: as many as there are cores.
        attention: the attention backend of openvino_genai, "PA" (paged) or "SDPA"; None: the one that it chooses.
    """

    path: Path
    device: str
    threads: int | None
    attention: str | None = None


class Runner(Protocol):
    """A loaded model. Loading raises ArtifactError or UsageError."""

    framework: str
    vocabulary: int
    """Ids that a prompt may be made of."""

    def run(self, ids: Sequence[int], count: int) -> Timing:
        """Read `ids` from an empty cache and make `count` tokens, greedily and whatever they are."""

    def see(self, picture: Path, question: str, count: int) -> Timing:
        """Read a picture and a question, and make `count` tokens. Raises UsageError if it takes no pictures."""


def timed(started: float, seen: float | None, tokens: Iterator[Any], count: int, read: int) -> Timing:
    """Take `count` tokens from an iterator that makes them one by one, and time them.

    Args:
        started: when the prompt was given (`time.perf_counter`).
        seen: when the tower was done; None: there was none.
        tokens: their making is what is timed; the first one reads the prompt.
        count: of tokens, two or more.
        read: tokens of the prompt.
    """
    next(tokens)
    first = time.perf_counter()
    for _ in range(count - 1):
        next(tokens)
    last = time.perf_counter()
    return Timing(
        first_ms=(first - started) * 1000,
        tokens_per_second=(count - 1) / (last - first),
        read=read,
        vision_ms=None if seen is None else (seen - started) * 1000,
    )


def greedy(read: Callable[[], int], step: Callable[[int], int]) -> Iterator[int]:
    """Make tokens for ever: the first by reading the prompt, each further one from the last."""
    token = read()
    while True:
        yield token
        token = step(token)
