"""Pictures in a calibration text: lines of a JSONL with an `image`, for vision-language models.

    {"image": "cat.jpg", "text": "What is in the picture?"}

The path is relative to the file. What reaches the language model is computed by the torch reference of the vision part, from
the checkpoint's own weights: rows in the places of the prompt's placeholders, between the rows of the table of embeddings.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ...convert.openvino.data_aware import Calibration
from ...convert.program.description import TABLE
from ...core import limits
from ...core.digest import sha256_file
from ...core.errors import UsageError
from ...core.paths import own_file
from ...core.progress import Progress
from ...quantize.data_aware import SUITE
from ...quantize.integer import to_float32

if TYPE_CHECKING:
    from ...convert.checkpoint import Checkpoint
    from ...validate.suite import Picture

Array = npt.NDArray[Any]


def of_file(calibration: str) -> dict[int, Picture]:
    """Return the pictures of a calibration text by the number of their line, from 1; none if it is not JSONL.

    Raises:
        UsageError: a file is absent, has no question, or is a picture that validations measure on.
    """
    from ...validate.suite import Picture, load

    path = Path(calibration)
    if calibration == SUITE or path.suffix.lower() != ".jsonl":
        return {}
    measured = {picture.sha256: picture.name for picture in load().pictures}
    found = {}
    for number, line in enumerate(
        limits.read_text(path, limits.SUITE, UsageError, encoding="utf-8-sig").split("\n"), 1
    ):
        content = json.loads(line) if line.strip() else {}
        if not isinstance(content, dict) or "image" not in content:
            continue
        whose, hint = f"{path}: line {number}", "Paths are relative to the JSONL, and stay in its folder."
        file = own_file(path.parent, content["image"], UsageError, whose=whose, hint=hint)
        if not isinstance(content.get("text"), str):
            raise UsageError(f"{path}: line {number}: an image without a text.", 'Add the question, as "text".')
        digest = sha256_file(file)
        if digest in measured:
            raise UsageError(
                f"{file} is the picture {measured[digest]} of the suite that validations measure on.",
                "Take another one.",
            )
        found[number] = Picture(name=file.stem, question=content["text"], sha256=digest, path=file)
    return found


def embedder(
    calibration: Calibration, checkpoint: Checkpoint, placeholder: int, progress: Progress
) -> Callable[[int], Array]:
    """Return what gives the embeddings of a sample, float32 [n, hidden].

    Args:
        calibration: its documents, of which some have a picture.
        checkpoint: whose weights are read now, if there are pictures.
        placeholder: the token in whose places the rows of a picture go.
        progress: reports pictures.
    """
    from ...runtimes.splice import splice
    from ...validate.checks import pixels
    from ...validate.module_weights import checkpoint_tensors
    from ...validate.vision_reference import features

    table = checkpoint.tensor(TABLE)
    rows: dict[int, Array] = {}
    if calibration.pictures:
        shown = pixels.reference(checkpoint.folder, list(calibration.pictures.values()))
        made = features(
            checkpoint.folder, checkpoint_tensors(checkpoint), shown,
            dtype="float32", progress=progress, label="Looking at pictures",
        )  # fmt: skip
        rows = dict(zip(calibration.pictures, made, strict=True))

    def embed(number: int) -> Array:
        ids = calibration.documents[number]
        words = to_float32(table[np.asarray(ids)])
        return splice(ids, words, rows[number], placeholder) if number in rows else words

    return embed
