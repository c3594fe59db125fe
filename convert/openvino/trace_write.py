"""Write an IR as `openvino.save_model` would, byte for byte, but with weights that are quantized while they are written.

OpenVINO serializes the graph itself (its .bin goes to /dev/null); then the offsets of the constants are filled in. The .bin
has OpenVINO's own layout: constants without gaps in the order of the .xml, equal ones once (openvino 2026.4,
`src/core/src/pass/serialize.cpp`). test_trace_write.py compares it with what save_model writes.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from xml.sax.saxutils import unescape

import numpy as np
import numpy.typing as npt

from ...core.errors import CheckpointError
from ...core.manifest import FileDigest
from ...core.progress import Progress, Task
from ...quantize import integer
from ..parallel import in_order
from .ir_file import mark_decompression
from .tensor_layout import BLOCK, TensorLayout, blocks, encode, tail

Array = npt.NDArray[Any]
_CONST = re.compile(
    r'(<layer id="\d+" name="(?P<name>[^"]*)" type="Const"[^>]*>\s*<data [^>]*?)offset="\d+" size="(?P<size>\d+)"'
)
_EDGE = 256
"""Bytes at either end of a constant that decide whether it is compared with an earlier one of its size."""


@dataclass
class Weights:
    """What the stand-ins of a graph stand for.

    Attributes:
        table: name → how it is stored, and its values ([rows, columns], bfloat16 as uint16).
        named: names of the constants that hold tensors of the checkpoint; these must be finite.
        release: gives back the memory pages of an array that was read for the last time.
    """

    named: set[str]
    release: Callable[[Array], None]
    table: dict[str, tuple[TensorLayout, Array]] = field(default_factory=dict)

    @property
    def stand_ins(self) -> set[str]:
        """Names of the constants that stand for something: they must keep them."""
        return {part.name for stored, _ in self.table.values() for part in stored.parts}


def int8_errors(
    weights: list[tuple[str, Array]], release: Callable[[Array], None], progress: Progress
) -> dict[str, float]:
    """Measure the int8 round-trip error of each weight (`integer.int8_error`), which the choice for a ratio below 1 needs."""
    task = progress.task("Measuring sensitivity", sum(values.nbytes for _, values in weights))

    def measure(name: str, block: Array) -> tuple[str, float]:
        error = _named(name, integer.int8_error, block)
        release(block)
        task.advance(block.nbytes)
        return name, error

    errors: dict[str, float] = {}
    for name, error in in_order((measure, name, block) for name, values in weights for block in _cut(values)):
        errors[name] = max(errors.get(name, 0.0), error)
    task.finish()
    return errors


def write(
    model: Any, weights: Weights, folder: Path, progress: Progress, *, name: str = "openvino_model"
) -> FileDigest:
    """Write NAME.xml and NAME.bin.

    Args:
        model: its stand-ins are named after the parts of the stored weights.
        weights: what they stand for.
        folder: where to.
        progress: reports the bytes.
        name: of the two files.

    Returns:
        size and SHA-256 of the .bin.

    Raises:
        CheckpointError: a weight is NaN or infinite.
    """
    import openvino as ov
    from openvino._offline_transformations import apply_fused_names_cleanup

    apply_fused_names_cleanup(model)
    model.set_rt_info(ov.get_version(), ["OpenVINO Runtime"])
    path = folder / f"{name}.xml"
    ov.serialize(model, str(path), os.devnull)
    text = path.read_text("utf-8")
    nodes = list(_constants(model))
    places = list(_CONST.finditer(text))
    if [unescape(place["name"], {"&quot;": '"'}) for place in places] != [node.get_friendly_name() for node in nodes]:
        raise AssertionError("the .xml lists other constants than the model")
    task = progress.task("Writing weights", sum(int(place["size"]) for place in places))
    with path.with_suffix(".bin").open("w+b", buffering=0) as file:
        out = _Bin(file, task)
        offsets = iter([out.constant(pieces) for pieces in _pieces(nodes, weights)])
        digest = FileDigest(size=out.size, sha256=out.digest.hexdigest())
    task.finish()
    path.write_text(_CONST.sub(lambda m: f'{m[1]}offset="{next(offsets)}" size="{m["size"]}"', text), "utf-8")
    mark_decompression(path)
    return digest


def _constants(model: Any) -> Iterator[Any]:
    """Constants in the order in which they are serialized, those of loops and branches where their operation stands."""
    for node in model.get_ordered_ops():
        kind = node.get_type_name()
        if kind == "Constant":
            yield node
        elif kind == "If":
            for branch in (0, 1):
                yield from _constants(node.get_function(branch))
        elif kind in ("Loop", "TensorIterator"):
            yield from _constants(node.get_function())


def _pieces(nodes: list[Any], weights: Weights) -> Iterator[Iterator[Array]]:
    """For each constant give its bytes, in pieces that are made while they are asked for."""
    values = {stored.values.name: stored for stored, _ in weights.table.values()}
    tails: dict[str, Array] = {}
    wanted = [values[name] for node in nodes if (name := node.get_friendly_name()) in values]
    if lost := values.keys() - {node.get_friendly_name() for node in nodes}:
        raise AssertionError(f"weights without a place in the graph, which would hold zeros: {sorted(lost)[:3]}")
    encoded = _encoded(wanted, weights)
    for node in nodes:
        name = node.get_friendly_name()
        if name in values:
            yield _streamed(values[name], encoded, tails)
        elif name in tails:
            yield iter([tails.pop(name)])
        else:
            yield _real(node, weights)


def _encoded(wanted: list[TensorLayout], weights: Weights) -> Iterator[tuple[Array, Array | None, Array | None]]:
    """Encode the blocks of all weights in order, a few ahead of the writer, on threads."""

    def run(stored: TensorLayout, block: Array) -> tuple[Array, Array | None, Array | None]:
        done = encode(stored, block)
        weights.release(block)
        return done

    jobs = (
        (run, stored, weights.table[stored.name][1][start:stop]) for stored in wanted for start, stop in blocks(stored)
    )
    return in_order(jobs)


def _streamed(stored: TensorLayout, encoded: Iterator[Any], tails: dict[str, Array]) -> Iterator[Array]:
    """Give the values of a weight block by block; its zero points and scales are known at the end."""
    zero_points, scales = [], []
    for _ in blocks(stored):
        data, zero_point, scale = next(encoded)
        zero_points.append(zero_point)
        scales.append(scale)
        yield data
    tails.update(zip((part.name for part in stored.parts[1:]), tail(stored, zero_points, scales), strict=True))


def _real(node: Any, weights: Weights) -> Iterator[Array]:
    """Give the bytes of a constant that is in the graph."""
    values = constant_values(node)
    name = node.get_friendly_name()
    if not values.size:
        values = np.zeros(1, np.uint8)  # OpenVINO gives a byte to an empty constant
    for block in _cut(values):
        if name in weights.named and block.dtype in (np.uint16, np.float16, np.float32):
            _named(name, integer.require_finite, block)
        yield block.reshape(-1).view(np.uint8)
        weights.release(block)


def constant_values(node: Any) -> Array:
    """Return a constant's values without copying them (bfloat16 as its bits in uint16)."""
    data: Array = node.data
    return data.view(np.uint16) if node.get_element_type().get_type_name() == "bf16" else data


def _cut(values: Array) -> list[Array]:
    """Cut along the first dimension into views of about BLOCK elements."""
    if values.size <= BLOCK or values.ndim == 0:
        return [values]
    step = max(1, BLOCK * values.shape[0] // values.size)
    return [values[start : start + step] for start in range(0, values.shape[0], step)]


def _named(name: str, check: Callable[[Array], Any], block: Array) -> Any:
    try:
        return check(block)
    except CheckpointError as error:
        raise CheckpointError(f"{name}: {error.message}", error.hint) from error


class _Bin:
    """The .bin while it grows."""

    def __init__(self, file: Any, task: Task) -> None:
        self._file = file
        self._task = task
        self._known: dict[tuple[int, bytes, bytes], list[int]] = {}
        self.digest = hashlib.sha256()
        self.size = 0

    def constant(self, pieces: Iterator[Array]) -> int:
        """Append a constant, or take it back if an equal one is there; return its offset."""
        start, digest = self.size, self.digest.copy()
        head = last = b""
        for piece in pieces:
            view = memoryview(piece.data).cast("B")
            head = head or bytes(view[:_EDGE])
            last = (last + bytes(view[-_EDGE:]))[-_EDGE:]
            self._append(view)
        size = self.size - start
        candidates = self._known.setdefault((size, head, last), [])
        for other in candidates:
            if self._equal(other, start, size):
                self._file.truncate(start)
                self._file.seek(start)
                self.size, self.digest = start, digest
                return other
        candidates.append(start)
        return start

    def _append(self, view: memoryview) -> None:
        self.digest.update(view)
        self._task.advance(len(view))
        while view:
            written = self._file.write(view) or 0
            self.size += written
            view = view[written:]

    def _equal(self, first: int, second: int, size: int) -> bool:
        """Compare two stretches of the file; what is at most two edges long is known to be equal."""
        if size <= _EDGE:
            return True
        descriptor = self._file.fileno()
        return all(
            os.pread(descriptor, min(BLOCK, size - at), first + at)
            == os.pread(descriptor, min(BLOCK, size - at), second + at)
            for at in range(0, size, BLOCK)
        )
