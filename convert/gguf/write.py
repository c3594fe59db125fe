"""Write the files: each tensor is read in ranges of rows, encoded by threads, and written in order, hashing what is written.

A few ranges are in flight at a time, so memory does not depend on the model's size.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ...core.manifest import FileDigest
from ...core.progress import Progress, Task
from ..checkpoint import Checkpoint
from ..parallel import in_order
from ..program.piece import WHOLE
from .encode import encode
from .header import aligned
from .layout import File, Layout, Placed

Array = npt.NDArray[Any]
BLOCK = 1 << 20
"""Elements that are encoded at a time."""


def write(
    checkpoint: Checkpoint, layout: Layout, folder: Path, importance: Mapping[str, Array] | None, progress: Progress
) -> dict[str, FileDigest]:
    """Write all files of a layout.

    Args:
        checkpoint: with its weights.
        layout: what is to be where.
        folder: the staging folder.
        importance: GGUF name → float32 [cols]; a tensor without one is quantized as without an importance matrix.
        progress: reports it, in bytes of the checkpoint.

    Raises:
        CheckpointError: a weight is NaN or infinite, or does not fit the type it is to have.
    """
    sources = dict.fromkeys(placed.tensor.source for placed in layout.tensors)
    task = progress.task("Writing tensors", sum(checkpoint.info(source).bytes for source in sources if source))
    digests = {file.name: _write(checkpoint, file, folder, importance or {}, task) for file in layout.files}
    task.finish()
    return digests


def _write(checkpoint: Checkpoint, file: File, folder: Path, importance: Mapping[str, Array], task: Task) -> FileDigest:
    digest = hashlib.sha256()
    position = 0

    def put(data: Any) -> None:
        nonlocal position
        view = memoryview(data).cast("B")
        digest.update(view)
        position += len(view)
        while len(view):
            view = view[stream.write(view) or 0 :]

    with (folder / file.name).open("wb", buffering=0) as stream:
        put(file.head)
        for placed, data, last in in_order(_jobs(checkpoint, file, importance, task)):
            put(data)
            if last:
                _require_place(placed, position)
                put(bytes(aligned(position) - position))
    if position != file.size:
        raise AssertionError(f"{file.name} has {position} bytes, the layout says {file.size}")
    return FileDigest(size=position, sha256=digest.hexdigest())


def _require_place(placed: Placed, position: int) -> None:
    if position != placed.offset + placed.bytes:
        raise AssertionError(f"{placed.tensor.name} ends at {position}, not at {placed.offset + placed.bytes}")


def _jobs(checkpoint: Checkpoint, file: File, importance: Mapping[str, Array], task: Task) -> Iterator[tuple[Any, ...]]:
    """Give (function, arguments) of each range of rows; its result is (tensor, bytes, whether it is the tensor's last)."""

    def run(placed: Placed, start: int, stop: int) -> tuple[Placed, Array, bool]:
        tensor = placed.tensor
        last = stop == placed.rows
        if tensor.source is None:
            values = np.asarray(tensor.values).reshape(placed.rows, placed.cols)[start:stop]
            return placed, encode(placed, values, start, None), last
        rows = _rows(checkpoint, placed, start, stop)
        with checkpoint.naming(tensor.source):
            data = encode(placed, rows, start, _importance(placed, start, importance.get(tensor.name)))
        checkpoint.release(tensor.source, start, stop, placed.rows)
        task.advance(rows.nbytes)
        return placed, data, last

    for placed in file.tensors:
        for start, stop in ranges(placed):
            yield run, placed, start, stop


def ranges(placed: Placed) -> list[tuple[int, int]]:
    """Cut a tensor into ranges of rows of about BLOCK elements; heads whose rows are reordered are not cut, experts are."""
    step = max(1, BLOCK // max(placed.cols, 1))
    if placed.tensor.head_dim:
        step = max(1, step // placed.tensor.head_dim) * placed.tensor.head_dim
    each = placed.tensor.shape[1] if len(placed.tensor.shape) == 3 else placed.rows
    return [
        (start, min(start + step, first + each))
        for first in range(0, placed.rows, max(each, 1))
        for start in range(first, first + each, step)
    ]


def _importance(placed: Placed, start: int, importance: Array | None) -> Array | None:
    """Return the vector of the rows from `start` on, which are one expert's."""
    if importance is None or importance.size == placed.cols:
        return importance
    expert = start // placed.tensor.shape[1]
    return importance[expert * placed.cols : (expert + 1) * placed.cols]


def _rows(checkpoint: Checkpoint, placed: Placed, start: int, stop: int) -> Array:
    """Return rows [start, stop) of the tensor as [rows, cols]."""
    source, held, piece = str(placed.tensor.source), placed.tensor.held, placed.tensor.piece
    if piece != WHOLE:
        return piece.rows(checkpoint.tensor(source), start, stop, placed.cols)
    if held.part:
        return held.cut(checkpoint.tensor(source), start, stop)
    if held.moved:
        return held.cut(checkpoint.tensor(source).reshape(placed.rows, placed.cols), start, stop)
    if len(placed.tensor.shape) == 2 and len(checkpoint.info(source).shape) == 2:
        return checkpoint.rows(source, start, stop)
    if len(placed.tensor.shape) == 3:
        return checkpoint.matrix(source, start, stop)
    return checkpoint.tensor(source).reshape(placed.rows, placed.cols)[start:stop]
