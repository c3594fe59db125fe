"""Check 3: teacher-forced logits at every position, and the three errors apart.

conversion    the artifact, reference precision, beside torch float32 holding the artifact's own de-quantized weights
quantization  the artifact, reference precision, beside the reference in float32
runtime       the artifact with the device's defaults beside itself reference precision
runtime_decode  the same, token by token: a prefill does not read what a cache in fewer bits has made of it
noise floor   the reference in bfloat16 beside the reference in float32
long context  as conversion, beyond 4,096 positions
"""

from __future__ import annotations

import functools
import tempfile
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ...core.progress import Progress
from ...runtimes.base import Chunk, Runtime
from ..head import Ahead, Head
from ..report.model import Alternative, DocumentScore, TokenScore
from ..scores import Chunk as Scored
from ..scores import Scores

Array = npt.NDArray[Any]
CHUNK = 64 << 20
"""Bytes of one side's logits that are compared at a time."""
STEPS = 256
"""Single steps that the device's defaults are measured over, of all documents."""


def against(
    runtime: Runtime,
    documents: Sequence[Sequence[int]],
    references: Sequence[tuple[Head, Sequence[Array]]],
    progress: Progress,
    *,
    label: str,
    chunk: Chunk = None,
    watch: Callable[[int, int, Scored], None] | None = None,
    settled: Callable[[], None] | None = None,
) -> list[list[Scores]]:
    """Run the artifact once and score it against several references.

    Args:
        runtime: the artifact.
        documents: token ids.
        references: for each a head and the final hidden states of each document.
        progress: reports tokens.
        label: what the step is called.
        chunk: positions of the runtime's steps; None: the whole document at once.
        watch: called with (document, start, chunk) of the last reference.
        settled: called once the runtime has run: most copy the weights into an order of their own when they first need them.

    Returns:
        For each reference the scores of each document.
    """
    task = progress.task(label, sum(map(len, documents)))
    scores = [[Scores() for _ in documents] for _ in references]
    ahead = [Ahead(head, states[: len(documents)]) for head, states in references]
    for d, ids in enumerate(documents):
        start = 0
        for made in runtime.logits(ids, chunk):
            if settled and d == start == 0:
                settled()
            offset = 0
            while offset < len(made):
                sides = [reference.take(min(_rows(made.shape[1]), len(made) - offset)) for reference in ahead]
                part = made[offset : offset + len(sides[0])]
                stop = start + len(part)
                for r, expected in enumerate(sides):
                    scored = scores[r][d].add(expected, part, np.array(ids[start + 1 : stop + 1], np.int64))
                    if watch and r == len(references) - 1:
                        watch(d, start, scored)
                start, offset = stop, offset + len(part)
                task.advance(len(part))
                del sides, expected  # views of what is computed ahead, which would stay beside the next
    task.finish()
    return scores


def heads_apart(
    first: tuple[Head, Sequence[Array]], second: tuple[Head, Sequence[Array]], documents: Sequence[Sequence[int]]
) -> list[Scores]:
    """Score two torch passes against each other (the noise floor)."""
    scores = [Scores() for _ in documents]
    step = _rows(first[0].weight.shape[0])
    sides = [Ahead(*side) for side in (first, second)]
    for d, ids in enumerate(documents):
        start = 0
        while start < len(ids):
            expected, made = (side.take(min(step, len(ids) - start)) for side in sides)
            stop = start + len(expected)
            scores[d].add(expected, made, np.array(ids[start + 1 : stop + 1], np.int64))
            start = stop
            del expected, made  # as in `against`
    return scores


class Kept:
    """The artifact's accurate logits of some documents, in a file, for the comparison with the device's defaults."""

    def __init__(self, runtime: Runtime, documents: Sequence[Sequence[int]]) -> None:
        self._file = tempfile.TemporaryFile()  # noqa: SIM115 - closed by `close`
        self._sizes: list[int] = []
        self.vocab = 0
        for ids in documents:
            for made in runtime.logits(ids):
                self._file.write(np.ascontiguousarray(made).data)
                self._sizes.append(len(made))
                self.vocab = made.shape[1]

    def __iter__(self) -> Iterator[Array]:
        """Give the logits of each document."""
        self._file.seek(0)
        for size in self._sizes:
            data = self._file.read(size * self.vocab * 4)
            yield np.frombuffer(data, np.float32).reshape(size, self.vocab)

    def close(self) -> None:
        """Give the disk space back."""
        self._file.close()


def apart_from(
    kept: Kept, runtime: Runtime, documents: Sequence[Sequence[int]], progress: Progress
) -> tuple[list[Scores], list[Scores]]:
    """Score a runtime against kept logits (the runtime error): in prefills, and in single steps through the cache.

    The steps follow a prefill of each document's first half at least; of all documents there are about STEPS.
    """
    task = progress.task("Comparing the device's defaults", 2 * sum(map(len, documents)))
    prefilled, stepped = [], []
    each = max(1, -(-STEPS // max(1, len(documents))))
    for ids, expected in zip(documents, kept, strict=True):
        score = Scores()
        (made,) = runtime.logits(ids)
        score.add(expected, made, np.array(ids[1:], np.int64))
        prefilled.append(score)
        task.advance(len(ids))
        start = max(len(ids) // 2, len(ids) - each)
        score = Scores()
        rows = [made[-1].copy() for made in runtime.logits(ids, (start, *[1] * len(ids)) if start else 1)]
        steps = np.stack(rows[1:] if start else rows)
        score.add(expected[start:], steps, np.array(ids[start + 1 :], np.int64))
        stepped.append(score)
        task.advance(len(ids))
    task.finish()
    return prefilled, stepped


def _rows(vocab: int) -> int:
    """Positions of a chunk: enough that widening the head is cheap beside the product, within CHUNK bytes."""
    return max(64, CHUNK // (4 * vocab))


class Colors:
    """Collects, for the report, each token's KL and the best alternatives before it."""

    def __init__(
        self, names: Sequence[tuple[str, str]], documents: Sequence[Sequence[int]], decode: Callable[[int], str]
    ) -> None:
        self._names = names
        self._documents = documents
        self._decode = functools.cache(decode)
        self._tokens: list[list[TokenScore]] = [
            [TokenScore(text=self._decode(ids[0]))] if len(ids) else [] for ids in documents
        ]

    def watch(self, document: int, start: int, chunk: Scored) -> None:
        """Take a scored chunk: position p's prediction colors token p + 1."""
        ids = self._documents[document]
        for i, position in enumerate(range(start + 1, min(start + 1 + len(chunk.kl), len(ids)))):
            rows = zip(chunk.best[i], chunk.reference[i], chunk.artifact[i], strict=True)
            self._tokens[document].append(
                TokenScore(
                    text=self._decode(ids[position]),
                    kl=float(f"{chunk.kl[i]:.4g}"),
                    alternatives=[
                        Alternative(
                            text=self._decode(int(t)), reference=round(float(p), 4), artifact=round(float(q), 4)
                        )
                        for t, p, q in rows
                    ],
                )
            )

    def scores(self) -> list[DocumentScore]:
        """Return what was collected."""
        return [
            DocumentScore(
                name=name,
                kind=kind,
                mean_kl=float(np.mean([t.kl for t in tokens if t.kl is not None] or [0.0])),
                tokens=tokens,
            )
            for (name, kind), tokens in zip(self._names, self._tokens, strict=True)
        ]
