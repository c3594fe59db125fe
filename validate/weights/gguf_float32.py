"""A GGUF with the keys of another and its weights de-quantized to float32: what llama.cpp computes without approximations.

llama.cpp rounds activations to the weights' own kind: to 8 bits beside quantized weights, to float16 beside float16. Beside
float32 it rounds nothing, so on this file its graph alone is seen.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ...convert.gguf.cursor import Cursor
from ...convert.gguf.header import Entry, Kind, Value, aligned, pack, u32
from ...convert.gguf.read import GgufFile
from ...core.errors import OutputError
from ...core.progress import Progress
from ...core.scratch import scratch
from ...quantize.ggml.types import TYPES

BLOCK = 1 << 20
"""Elements that are de-quantized at a time."""
_DROPPED = ("split.", "general.alignment")
"""Keys that say how the original lies in its files."""


@dataclass(frozen=True)
class _Raw(Value):
    """A value as it stands in the file, type included."""

    def pack(self) -> bytes:
        return bytes(self.content)


def needed(file: GgufFile) -> bool:
    """True unless every weight is float32 already."""
    return any(info.type != "f32" for info in file.tensors.values())


@contextlib.contextmanager
def float32(file: GgufFile, folder: Path, progress: Progress) -> Iterator[Path]:
    """Write the file, and remove it in the end; who has mapped it by then keeps it.

    Args:
        file: the original.
        folder: where there is room for four bytes a weight.
        progress: reports the weights written.

    Raises:
        ArtifactError: a tensor cannot be decoded.
        OutputError: too little free space.
    """
    entries, position = [], 0
    for name, info in file.tensors.items():
        entries.append(Entry(name, info.shape, TYPES["f32"], position))
        position += aligned(4 * info.size)
    folder.mkdir(parents=True, exist_ok=True)
    _require_space(folder, position)
    task = progress.task("De-quantizing to float32", sum(info.size for info in file.tensors.values()))
    with scratch(folder, "float32-") as place, (place / "weights.gguf").open("wb") as out:
        out.write(pack(keys_of(file), entries))
        for name, info in file.tensors.items():
            step = max(1, BLOCK // max(1, info.cols))
            for start in range(0, info.rows, step):
                rows = file.dequantized(name, start, min(start + step, info.rows))
                out.write(rows.data)
                task.advance(rows.size)
            out.write(bytes(aligned(4 * info.size) - 4 * info.size))
            file.release(name)
        out.flush()
        task.finish()
        yield Path(out.name)


def _require_space(folder: Path, size: int) -> None:
    free = shutil.disk_usage(folder).free
    if free < size + (64 << 20):
        raise OutputError(
            f"{folder} has {free / 1e9:.2f} GB free; the weights in float32, which are kept there for a while, take "
            f"{size / 1e9:.2f} GB.",
            "Free some space, or name another folder in EDGECONV_CACHE.",
        )


def keys_of(file: GgufFile) -> dict[str, Value]:
    """Return a file's keys as they stand there, but for those on how it is split, and its type: float32."""
    kept = {key: _Raw(Kind.ARRAY, raw) for key, raw in _pairs(file) if not key.startswith(_DROPPED)}
    return {**kept, "general.file_type": u32(0)}


def _pairs(file: GgufFile) -> Iterator[tuple[str, bytes]]:
    """Give key and packed value of each pair, types and all."""
    head = file.heads[0]
    at = Cursor(head.path, head.map)
    at.take(16, "the beginning")
    for _ in range(at.scalar("<Q")):
        key = at.name("a key")
        start = at.at
        at.value(key)
        yield key, head.map[start : at.at]
