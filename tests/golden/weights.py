"""Weights for the corpus that are the same bits on every machine.

torch's normal deviates and exponentials differ in the last place between processors. These are sums of integers of PCG64, whose
stream numpy promises not to change, scaled by exact steps, so that only IEEE's own rounding takes part.
"""

from __future__ import annotations

import math
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt


def exact(name: str, shape: tuple[int, ...], mean: float = 0.0) -> npt.NDArray[np.float32]:
    """Draw a tensor: bell-shaped, rows of a matrix of different widths; a vector lies around `mean`.

    Args:
        name: of the tensor, which is the seed.
        shape: of it.
        mean: of a vector.
    """
    count = math.prod(shape)
    words = np.random.PCG64(zlib.crc32(name.encode())).random_raw(max(count, 1))[:count]
    parts = sum(((words >> np.uint64(shift)) & np.uint64(0xFFFF)).astype(np.int64) for shift in (0, 16, 32, 48))
    noise = (np.asarray(parts) - 131070).reshape(shape) / 32768
    if len(shape) < 2:
        return (round(mean) + noise / 8).astype(np.float32)
    rows = shape[-2] if len(shape) == 3 else shape[0]
    widths = (96 + np.arange(rows) * 37 % 128) / 128
    inner = math.prod(shape[1:]) if len(shape) != 3 else shape[-1]
    form = (1, rows, 1) if len(shape) == 3 else (rows, *[1] * (len(shape) - 1))
    return (noise * widths.reshape(form) * 2.0 ** -round(math.log2(inner) / 2)).astype(np.float32)


def rewrite(folder: Path) -> Path:
    """Give every tensor of a checkpoint's files such weights, in the type that it has, and return the folder."""
    import torch
    from safetensors import safe_open
    from safetensors.torch import save_file

    for path in sorted(folder.glob("*.safetensors")):
        with safe_open(path, "pt") as file:
            metadata = file.metadata()
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no dictionary
        save_file({name: _redrawn(name, tensor) for name, tensor in tensors.items()}, path, metadata=metadata)
    for path in sorted(folder.glob("*.bin")):
        loaded = torch.load(path, weights_only=True)
        torch.save({name: _redrawn(name, tensor) for name, tensor in loaded.items()}, path)
    return folder


def _redrawn(name: str, tensor: Any) -> Any:
    import torch

    if not tensor.is_floating_point():
        return tensor
    mean = float(tensor.float().mean()) if tensor.numel() else 0.0
    return torch.from_numpy(exact(name, tuple(tensor.shape), mean)).to(tensor.dtype)
