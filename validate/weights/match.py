"""Which tensor of the checkpoint a weight of the graph holds: by name, else by shape and content."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt

from ...convert.checkpoint import Checkpoint
from ...quantize.integer import to_float32
from .constant import StoredWeight

Array = npt.NDArray[Any]
_SAMPLE = 4096
_ALIKE = 0.5
"""Relative RMS error below which a content is taken for a tensor's; four bits make 0.1, another tensor 1.4."""
_PREFIX = re.compile(r"^(?:self|__module|model\.model)\.")
_SUFFIX = re.compile(r"\._openvino_orig_(weight|bias)")


def by_name(stored: StoredWeight, checkpoint: Checkpoint) -> str | None:
    """Return the tensor that the names of the weight's nodes and of its users tell, if its size fits.

    Understood: the checkpoint's own names (edgeconv), `self.NAME` and `self.MODULE._openvino_orig_weight` (optimum-intel), and
    `__module.MODULE/operation` of the users.
    """
    for name in stored.names:
        plain = _SUFFIX.sub(r".\1", _PREFIX.sub("", name))
        stem = re.split(r"[/#]", plain, maxsplit=1)[0]
        for candidate in (stem, f"{stem}.weight", f"{stem}.bias"):
            for own in (candidate, f"model.{candidate}"):
                if own in checkpoint.names and checkpoint.info(own).size == stored.size:
                    return own
    return None


def by_content(stored: StoredWeight, names: Iterable[str], checkpoint: Checkpoint) -> str | None:
    """Return the tensor of the same shape that the weight's values come nearest to, if they come near.

    A sample of the elements decides. Two tensors that are equal in it cannot be told apart: the first is returned.
    """
    if stored.unreadable:
        return None
    best: tuple[float, str] = (_ALIKE, "")
    sample: Array | None = None
    for name in names:
        if checkpoint.info(name).size != stored.size or not frames(stored, checkpoint.info(name).shape):
            continue
        sample = sample_of(stored) if sample is None else sample
        best = min(best, (distance(stored, sample, checkpoint.tensor(name)), name))
    return best[1] or None


def frames(stored: StoredWeight, shape: tuple[int, ...]) -> bool:
    """Tell whether a weight can hold a tensor of that shape, as it is, transposed, or with dimensions of 1."""
    plain = tuple(n for n in stored.shape if n != 1)
    wanted = tuple(n for n in shape if n != 1)
    return plain in (wanted, wanted[::-1])


def is_transposed(stored: StoredWeight, shape: tuple[int, ...]) -> bool:
    """Tell whether a weight lies as [columns, rows]."""
    if len(shape) != 2 or stored.shape != shape[::-1]:
        return False
    return stored.turned if shape[0] == shape[1] else True


def sample_of(stored: StoredWeight) -> Array:
    """Return the first elements of some rows, flat float32."""
    rows = _sampled_rows(stored.rows)
    width = max(1, _SAMPLE // len(rows))
    return np.concatenate([stored.weights(r, r + 1).reshape(-1)[:width] for r in rows])


def distance(stored: StoredWeight, sample: Array, tensor: Array) -> float:
    """Return the RMS difference of a weight's sample and a tensor's, relative to the tensor's own RMS."""
    source = tensor.T if is_transposed(stored, tensor.shape) else tensor
    source = source.reshape(stored.rows, -1) if source.size == stored.size else source
    rows = _sampled_rows(stored.rows)
    width = max(1, _SAMPLE // len(rows))
    other = np.concatenate([to_float32(source[r])[:width] for r in rows])
    norm = float(np.sqrt(np.mean(np.square(other, dtype=np.float64))))
    error = float(np.sqrt(np.mean(np.square(sample.astype(np.float64) - other))))
    if not math.isfinite(error):
        return math.inf
    return error / norm if norm else (0.0 if error == 0 else math.inf)


def _sampled_rows(rows: int) -> list[int]:
    count = min(rows, 16)
    return [rows * i // count for i in range(count)]
