"""Checkpoints in which it is known beforehand which layer is the most sensitive."""

import shutil
from pathlib import Path

PLANTED = 2
"""The layer with outliers."""


def with_outliers(source: Path, folder: Path) -> Path:
    """Copy a checkpoint, and multiply one column of each matrix of a layer."""
    from safetensors.torch import load_file, save_file

    shutil.copytree(source, folder)
    path = folder / "model.safetensors"
    tensors = load_file(path)
    for name in tensors:
        if f"layers.{PLANTED}." in name and tensors[name].ndim == 2:
            tensors[name] = tensors[name].clone()
            tensors[name][:, 5] *= 30  # one scale a row then rounds everything else away
    save_file(tensors, path, {"format": "pt"})
    return folder
