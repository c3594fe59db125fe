"""Pixels as llama.cpp makes them, read out of it through a projector whose rows are the pixels.

The library hands out rows alone. So it is given a mmproj with the artifact's own keys (size, mean, deviation, and whatever else
shapes its preparation of pictures) and with weights of ours, through which pixels pass: a tower of no layers, patches small
enough that the values of 2 x 2 of them fit into one row. The adapter's normalization and activations are undone:

    v = [x, c, -x, -c]            the mean is 0, and c is known
    z = v / sqrt(mean v² + eps)   ggml_norm
    u = z + b > 10                ggml_gelu(u) = u there
    y = silu(u_c) · u = u_c · u   silu(u_c) = u_c in float32 there
    x = c · z_x / z_c

Measured: 1e-5, where a step of one of 255 levels is 8e-3.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ...convert.gguf.header import Entry, aligned, pack, pad, u32
from ...convert.gguf.read import GgufFile
from ...core.scratch import scratch
from ...quantize.ggml.types import TYPES
from .gguf_float32 import keys_of

Array = npt.NDArray[Any]
KNOWN = 4.0
"""c."""
_LARGEST_PATCH = 16


@dataclass(frozen=True)
class PixelProjector:
    """Geometry: pictures of `size` x `size` pixels in patches of `patch` x `patch`; rows `hidden` wide."""

    size: int
    patch: int
    hidden: int

    @property
    def values(self) -> int:
        """Pixel values of a row."""
        return 12 * self.patch**2

    @property
    def bias(self) -> float:
        """b: above 10, whatever a row holds, for no |z| exceeds the square root of half of its width."""
        return 16.0 + math.ceil(math.sqrt(self.values + 1))

    def tensors(self) -> dict[str, Array]:
        """Return the weights by llama.cpp's names."""
        channels, values = 3 * self.patch**2, self.values
        known, width = values, 2 * (values + 1)
        conv = np.zeros((width, channels, 2, 2), np.float32)
        for place in range(4):
            for channel in range(channels):
                row = place * channels + channel
                conv[row, channel, place // 2, place % 2] = 1
                conv[values + 1 + row, channel, place // 2, place % 2] = -1
        added = np.zeros(width, np.float32)
        added[known], added[-1] = KNOWN, -KNOWN
        gate = np.zeros((values + 1, width), np.float32)
        gate[:, known] = 1
        return {
            "v.patch_embd.weight": np.eye(channels, dtype=np.float32).reshape(channels, 3, self.patch, self.patch),
            "v.position_embd.weight": np.zeros(((self.size // self.patch) ** 2, channels), np.float32),
            "adapter.conv.weight": conv,
            "adapter.conv.bias": added,
            "adapter.linear.linear.weight": np.eye(width, dtype=np.float32),
            "adapter.linear.norm1.weight": np.ones(width, np.float32),
            "adapter.linear.norm1.bias": np.full(width, self.bias, np.float32),
            "adapter.linear.gate.weight": gate,
            "adapter.linear.dense_h_to_4h.weight": np.eye(values + 1, width, dtype=np.float32),
            "adapter.linear.dense_4h_to_h.weight": np.eye(self.hidden, values + 1, dtype=np.float32),
            "adapter.boi": np.zeros(self.hidden, np.float32),
            "adapter.eoi": np.zeros(self.hidden, np.float32),
        }

    def pixels(self, rows: Array) -> Array:
        """Turn rows float32 [rows, hidden] into the normalized pixels that they were made of, float32 [3, size, size]."""
        made = rows[1:-1, : self.values + 1].astype(np.float64)
        known = np.sqrt(made[:, -1:])
        z = made[:, :-1] / known - self.bias
        x = KNOWN * z / (known - self.bias)
        side = self.size // self.patch // 2
        by_place = x.reshape(side, side, 2, 2, 3, self.patch, self.patch)  # row, column, row, column, channel, y, x
        return by_place.transpose(4, 0, 2, 5, 1, 3, 6).reshape(3, self.size, self.size).astype(np.float32)


def geometry(size: int, hidden: int) -> PixelProjector | None:
    """Choose the largest patches that fit; None: no row is wide enough, or the side is odd."""
    for patch in range(_LARGEST_PATCH, 0, -1):
        found = PixelProjector(size, patch, hidden)
        if size % (2 * patch) == 0 and found.values < hidden:
            return found
    return None


@contextlib.contextmanager
def written(file: GgufFile, projector: PixelProjector, folder: Path) -> Iterator[Path]:
    """Write the projector with the keys of a mmproj, and remove it in the end."""
    tensors, entries, position = projector.tensors(), [], 0
    for name, values in tensors.items():
        entries.append(Entry(name, values.shape, TYPES["f32"], position))
        position += aligned(values.nbytes)
    own = {
        "patch_size": projector.patch,
        "embedding_length": 3 * projector.patch**2,
        "feed_forward_length": 3 * projector.patch**2,
        "block_count": 0,
        "attention.head_count": 1,
        "projection_dim": projector.hidden,
    }
    keys = keys_of(file) | {f"clip.vision.{name}": u32(value) for name, value in own.items()}
    folder.mkdir(parents=True, exist_ok=True)
    with scratch(folder, "pixels-") as place:
        path = place / "pixels.gguf"
        with path.open("wb") as out:
            out.write(pack(keys, entries))
            for values in tensors.values():
                out.write(pad(values.tobytes()))
        yield path
