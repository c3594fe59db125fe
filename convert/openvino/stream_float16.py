"""Whether float16 can hold the vision half: checkpoints are bfloat16, whose range is wider at both ends.

Above 65504 there is no float16. Below 2^-14 its values are 2^-24 apart and bits are lost: which matters for a tensor whose
weights are all that small, and for no other. Nothing between the two changes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from ...core.errors import CheckpointError
from ...core.progress import Progress
from ...quantize.integer import to_float32
from ...quantize.scheme import Scheme
from ..checkpoint import Checkpoint
from ..parallel import in_order
from ..program.vision import Vision
from . import stream_ir, stream_write
from .tensor_layout import TensorLayout, blocks, in_cache, read_block

LARGEST = 65504.0
SMALLEST_NORMAL = 2.0**-14
HARMLESS = 2.0**-11
"""Root mean square of what a tensor's tiny weights lose, over that of its weights: as much as float16 rounds a normal one by."""

_DENORMAL_SQUARES = 1e-25
"""Below this the squares may have vanished in float32, and are summed again in float64."""


@dataclass(frozen=True)
class Loss:
    """What float16 makes of one tensor: weights too large for it, and the share lost of those too small for it."""

    name: str
    too_large: int
    lost: float

    @property
    def harmless(self) -> bool:
        """True if the tensor may be stored so."""
        return not self.too_large and self.lost <= HARMLESS

    def sentence(self) -> str:
        """What is wrong, with the tensor's name."""
        if self.too_large:
            return f"{self.too_large} weights of {self.name} do not fit into float16 (above {LARGEST:.0f})"
        return f"the weights of {self.name} are so small that float16 loses {self.lost:.1%} of them"


def settle(checkpoint: Checkpoint, vision: Vision, scheme: Scheme, progress: Progress) -> tuple[Scheme, list[str]]:
    """Keep a scheme of float16 if the weights allow it, and say so if they do not.

    Args:
        checkpoint: with its weights.
        vision: the vision part.
        scheme: its scheme. One that the user chose is not changed; another falls back to the checkpoint's own type.
        progress: reports the steps.

    Returns:
        The scheme to use, and sentences for the manifest.

    Raises:
        CheckpointError: the user chose float16, and a weight is too large for it.
    """
    if scheme.mode != "fp16":
        return scheme, []
    harmed = [loss for loss in _losses(checkpoint, vision, scheme, progress) if not loss.harmless]
    if not harmed:
        return scheme, []
    worst = max(harmed, key=lambda loss: (loss.too_large, loss.lost))
    what = worst.sentence() + (f", and {len(harmed) - 1} more tensors" if len(harmed) > 1 else "")
    if scheme.chosen_by == "user":
        if worst.too_large:
            raise CheckpointError(f"{what}.", "Use --vision-precision bf16, or fp32.")
        note = f"vision precision fp16, as asked for: {what}"
    else:
        kinds = {checkpoint.info(name).dtype for name in vision.tensors()}
        mode = "bf16" if kinds == {"BF16"} else "fp32"
        scheme = replace(scheme, precision=mode, mode=mode, chosen_by="edgeconv")
        note = f"vision precision {mode} in the place of fp16: {what}"
    progress.note(note)
    return scheme, [note]


def _losses(checkpoint: Checkpoint, vision: Vision, scheme: Scheme, progress: Progress) -> list[Loss]:
    """Read every tensor that would become float16, a block at a time."""
    irs = stream_ir.cut_vision(vision.graphs(), vision.kept, scheme)
    becoming = [
        s
        for ir in irs
        for s in ir.stored(checkpoint, {})
        if s.values.element == "f16" and checkpoint.info(s.name).dtype != "F16"
    ]
    task = progress.task("Checking the range of float16", sum(checkpoint.info(s.name).bytes for s in becoming))

    def measure(stored: TensorLayout, start: int, stop: int) -> tuple[str, int, float, float]:
        block = read_block(checkpoint, stored, start, stop)
        figures = _measure(block)
        stream_write.release(checkpoint, stored, start, stop)
        task.advance(block.nbytes)
        return stored.name, *figures

    sums: dict[str, list[float]] = {s.name: [0, 0.0, 0.0] for s in becoming}
    jobs = ((measure, stored, start, stop) for stored in becoming for start, stop in blocks(stored))
    for name, *figures in in_order(jobs):
        sums[name] = [a + b for a, b in zip(sums[name], figures, strict=True)]
    task.finish()
    return [Loss(name, int(n), math.sqrt(lost / all_) if all_ > 0 else 0.0) for name, (n, lost, all_) in sums.items()]


def _measure(block: npt.NDArray[Any]) -> tuple[int, float, float]:
    """Count the weights too large; sum the squares of what the small ones lose, and those of all weights.

    NaN and infinite weights are refused where they are written.
    """
    too_large, lost, squares = 0, 0.0, 0.0
    for part in in_cache(block):
        values = to_float32(part)
        size = np.abs(values)
        if size.max() > LARGEST:
            too_large += int(np.count_nonzero((size > LARGEST) & np.isfinite(values)))
        small = values[size < SMALLEST_NORMAL]
        lost += _squares(small - small.astype(np.float16).astype(np.float32))
        all_ = float(np.vdot(values, values))
        squares += all_ if all_ > _DENORMAL_SQUARES else _squares(values)
    return too_large, lost, squares


def _squares(values: npt.NDArray[Any]) -> float:
    return float(np.square(values.astype(np.float64)).sum())
