"""Stream a checkpoint's weights through the quantizer into one .bin, in order, hashing what is written.

A few blocks are in flight at a time, so memory does not depend on the model's size. Blocks are quantized by threads
(the kernels release the interpreter's lock) and written in order by the caller's.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from ...core.manifest import FileDigest
from ...core.progress import Progress, Task
from ...quantize import integer
from ...quantize.assign import Weight
from ..checkpoint import Checkpoint
from ..parallel import in_order
from . import tensor_layout as in_ir
from .ir_file import Layout
from .tensor_layout import TensorLayout, blocks, read_block

Encode = Callable[[TensorLayout, Any], tuple[Any, Any, Any]]
"""`stored.encode`, or what takes its place."""
Tail = Callable[[TensorLayout, list[Any], list[Any]], Iterator[Any]]
"""`stored.tail`, or what takes its place."""


def int8_errors(checkpoint: Checkpoint, tensors: list[TensorLayout], progress: Progress) -> Callable[[Weight], float]:
    """Measure the int8 round-trip error of each tensor (`integer.int8_error`), for the choice that a ratio below 1 needs."""
    task = progress.task("Measuring sensitivity", sum(math.prod(t.shape) for t in tensors) * 2)
    errors: dict[str, float] = {}

    def measure(stored: TensorLayout, start: int, stop: int) -> tuple[str, float]:
        block = read_block(checkpoint, stored, start, stop)
        error = integer.int8_error(block)
        release(checkpoint, stored, start, stop)
        task.advance(block.nbytes)
        return stored.name, error

    jobs = ((measure, stored, start, stop) for stored in tensors for start, stop in blocks(stored))
    for name, error in in_order(jobs):
        errors[name] = max(errors.get(name, 0.0), error)
    task.finish()
    return lambda weight: errors[weight.name]


def write_bin(
    checkpoint: Checkpoint,
    tensors: list[TensorLayout],
    layout: Layout,
    path: Path,
    progress: Progress,
    *,
    encode: Encode = in_ir.encode,
    tail: Tail = in_ir.tail,
) -> FileDigest:
    """Write the weights and the graph's small constants at their places.

    `encode` and `tail` say how rows, zero points and scales become bytes: as in an IR, or as another format has them.

    Raises:
        CheckpointError: a weight is NaN or infinite, or does not fit the type it is to have.
    """
    task = progress.task("Writing weights", sum(checkpoint.info(t.name).bytes for t in tensors))
    digest = hashlib.sha256()
    with path.open("wb", buffering=0) as file:
        writer = _Writer(file.write, digest.update)
        for tensor, zero_points, scales in _encoded(checkpoint, tensors, writer, layout, task, encode=encode):
            for part, data in zip(tensor.parts[1:], tail(tensor, zero_points, scales), strict=True):
                writer.at(layout.offsets[part.name], data)
        for offset, constant in layout.small:
            writer.at(offset, constant)
    task.finish()
    return FileDigest(size=writer.position, sha256=digest.hexdigest())


def _encoded(
    checkpoint: Checkpoint, tensors: list[TensorLayout], writer: _Writer, layout: Layout, task: Task, *, encode: Encode
) -> Iterator[tuple[TensorLayout, list[Any], list[Any]]]:
    """Write each tensor's values; after its last block give the tensor with its zero points and scales."""

    def run(stored: TensorLayout, start: int, stop: int) -> tuple[TensorLayout, int, int, Any, Any, Any]:
        block = read_block(checkpoint, stored, start, stop)
        with checkpoint.naming(stored.name):
            data, zero_point, scale = encode(stored, block)
        task.advance(block.nbytes)
        return stored, start, stop, data, zero_point, scale

    zero_points: list[Any] = []
    scales: list[Any] = []
    jobs = ((run, stored, start, stop) for stored in tensors for start, stop in blocks(stored))
    for stored, start, stop, data, zero_point, scale in in_order(jobs):
        if start == 0:
            writer.at(layout.offsets[stored.values.name], data)
        else:
            writer.append(data)
        release(checkpoint, stored, start, stop)
        zero_points.append(zero_point)
        scales.append(scale)
        if stop == in_ir.count_rows(stored.shape):
            yield stored, zero_points, scales
            zero_points, scales = [], []


class _Writer:
    """Appends to a file and to its digest; gaps between constants are zeros."""

    def __init__(self, write: Callable[[Any], int | None], update: Callable[[Any], None]) -> None:
        self._write = write
        self._update = update
        self.position = 0

    def at(self, offset: int, data: Any) -> None:
        if offset < self.position:
            raise AssertionError(f"the layout overlaps at {offset}")
        if offset > self.position:
            self.append(bytes(offset - self.position))
        self.append(data)

    def append(self, data: Any) -> None:
        view = memoryview(data).cast("B")
        self._update(view)
        while len(view):
            written = self._write(view) or 0
            self.position += written
            view = view[written:]


def release(checkpoint: Checkpoint, stored: TensorLayout, start: int, stop: int) -> None:
    """Give back the pages of rows [start, stop); with a row order, those of the whole tensor once its last row is read."""
    count = in_ir.count_rows(stored.shape)
    if stored.row_order is None:
        checkpoint.release(stored.name, start, stop, count)
    elif stop == count:
        checkpoint.release(stored.name, 0, count, count)
