"""GGUFs of the built-in model and of spoilt copies of it, for the validator's tests."""

from __future__ import annotations

import shutil
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from edgeconv.convert.checkpoint import Checkpoint
from edgeconv.convert.gguf.export import Importance, export, prepare
from edgeconv.convert.gguf.header import string
from edgeconv.convert.gguf.read import open_gguf
from edgeconv.convert.gguf.recipe import Recipe, recipe
from edgeconv.convert.open_checkpoint import open_checkpoint
from edgeconv.core.progress import Silent


def write(source: Path | Checkpoint, out: Path, kind: str | Recipe, importance: Importance | None = None) -> Path:
    """Convert a checkpoint to one file, without a manifest."""
    opened = open_checkpoint(source) if isinstance(source, Path) else source
    asked = recipe(kind) if isinstance(kind, str) else kind
    keys = {"quantize.imatrix.file": string("matrix.gguf")} if importance else None
    prepared = prepare(opened, asked, out.name, importance=importance, keys=keys)
    export(opened, prepared, out.parent, importance=importance, progress=Silent())
    return out


def edit(file: Path, tensor: str, change: Callable[[np.ndarray], None]) -> None:
    """Change a tensor's bytes in place, given as uint8 [rows, row bytes]."""
    opened = open_gguf(file)
    info, data = opened.info(tensor), opened.data(tensor).copy()
    before = data.tobytes()
    change(data)
    assert data.tobytes() != before, "the fault changes nothing"
    with file.open("r+b") as stream:
        stream.seek(info.offset)
        stream.write(data.tobytes())


def set_key(file: Path, key: str, value: float) -> None:
    """Change a number in place: uint32 for an int, float32 for a float."""
    raw = bytearray(file.read_bytes())
    name = struct.pack("<Q", len(key)) + key.encode()
    place = raw.index(name) + len(name)
    (kind,) = struct.unpack_from("<I", raw, place)
    assert kind == (4 if isinstance(value, int) else 6)
    struct.pack_into("<I" if isinstance(value, int) else "<f", raw, place + 4, value)
    file.write_bytes(raw)


def edit_weights(folder: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Change tensors of a checkpoint."""
    from safetensors.torch import load_file, save_file

    tensors = load_file(folder / "model.safetensors")
    change(tensors)
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, folder / "model.safetensors")


def copy_of(folder: Path, to: Path) -> Path:
    """A checkpoint to spoil."""
    return shutil.copytree(folder, to)


def halves(data: np.ndarray, at: int, block: int) -> np.ndarray:
    """The float16 at a place of each block, as a view that can be written."""
    return data.reshape(-1, block)[:, at : at + 2].view(np.float16)
