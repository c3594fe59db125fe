"""Faults planted into a copy of an artifact: bytes of one constant of its .bin, found through the .xml."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np


def copy_of(artifact: Path, to: Path, *, manifest: bool = False) -> Path:
    """A copy to break. Without its manifest only the weights themselves can give the fault away, not their digest."""
    shutil.copytree(artifact, to)
    if not manifest:
        (to / "edgeconv.json").unlink()
    return to


def edit(folder: Path, constant: str, change: Callable[[np.ndarray], np.ndarray], dtype: str = "uint8") -> None:
    """Replace a constant's data, given as a flat array of `dtype`, by what `change` makes of it."""
    xml = (folder / "openvino_model.xml").read_text("utf-8")
    found = re.search(rf'name="{re.escape(constant)}" type="Const".*?offset="(\d+)" size="(\d+)"', xml, re.DOTALL)
    assert found, constant
    offset, size = map(int, found.groups())
    with (folder / "openvino_model.bin").open("r+b") as file:
        file.seek(offset)
        data = np.frombuffer(file.read(size), dtype)
        changed = np.ascontiguousarray(change(data.copy()), dtype)
        assert changed.nbytes == size
        assert changed.tobytes() != data.tobytes(), "the fault changes nothing"
        file.seek(offset)
        file.write(changed.tobytes())


def replace(path: Path, old: str, new: str) -> None:
    """Replace text in a file, which must hold it."""
    text = path.read_text("utf-8")
    assert old in text, old
    path.write_text(text.replace(old, new), "utf-8")
