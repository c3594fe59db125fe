"""Vision, first check: the pixels that the artifact's own processor makes of a picture are the reference's.

The reference is not our code: transformers' Mllama image processor, which GLM-Edge-V's preprocessor_config.json names, with
the checkpoint's numbers. The artifact's side reads the file that lies in the artifact.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ...convert.families.glm_edge_v_model.pixels import Preprocess, open_picture
from ...core import limits
from ...core.errors import EdgeconvError
from ...core.picture_task import upright_rgb
from ..report.model import Check
from ..suite import Picture

Array = npt.NDArray[Any]
FILE = "preprocessor_config.json"


def reference(folder: Path, pictures: Sequence[Picture]) -> list[Array]:
    """Return float32 [3, S, S] of each picture, by transformers, from the checkpoint's preprocessor_config.json."""
    from transformers.models.mllama.image_processing_pil_mllama import MllamaImageProcessorPil

    config = json.loads(limits.read_text(folder / FILE, limits.JSON))
    config = {key: value for key, value in config.items() if key != "image_processor_type"} | {"max_image_tiles": 1}
    processor = MllamaImageProcessorPil(**config)
    images = [upright_rgb(open_picture(picture.path)) for picture in pictures]
    return [processor(image, return_tensors="np")["pixel_values"][0, 0, 0] for image in images]


def prompts(folder: Path, pictures: Sequence[Picture]) -> list[list[int]]:
    """Return the token ids of each picture's question, placeholders included, by a folder's template and tokenizer.

    Raises:
        EdgeconvError: the folder's files make none.
    """
    from ...convert.families import glm_edge_v_model as glm_edge_v

    processor = glm_edge_v.load_processor(folder)
    made = []
    for picture in pictures:
        turns = [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": picture.question}]}]
        text = processor.apply_chat_template(turns, add_generation_prompt=True)
        made.append(list(processor.tokenizer(text)["input_ids"]))
    return made


def check(folder: Path, expected: Sequence[Array], pictures: Sequence[Picture]) -> Check:
    """Compare.

    Args:
        folder: the artifact.
        expected: the reference's pixels.
        pictures: the suite's.
    """
    started = time.perf_counter()
    failures: list[str] = []
    worst, compared = 0.0, 0
    try:
        preprocess = Preprocess.from_folder(folder)
        for picture, wanted in zip(pictures, expected, strict=True):
            made = preprocess([open_picture(picture.path)])[0]
            compared += 1
            failures += _difference(picture.name, made, wanted)
            worst = max(worst, float(np.abs(made - wanted).max())) if made.shape == wanted.shape else float("inf")
    except EdgeconvError as error:
        failures.append(error.message)
    if not compared and not failures:
        failures.append("The suite has no pictures.")
    return Check(
        name="pixels",
        status="failed" if failures else "passed",
        summary=f"{compared} pictures give the reference's pixels."
        if not failures
        else f"{len(failures)} of {len(pictures)} pictures give other pixels.",
        failures=failures[:5],
        figures={"pictures": float(compared), "max_abs": worst},
        seconds=time.perf_counter() - started,
    )


def _difference(name: str, made: Array, wanted: Array) -> list[str]:
    if made.shape != wanted.shape:
        return [f"{name}: {list(made.shape)} values, the reference has {list(wanted.shape)}."]
    different = np.abs(made - wanted).max(0) > 0
    if not different.any():
        return []
    row, column = (int(i) for i in np.argwhere(different)[0])
    return [
        f"{name}: {different.mean():.1%} of the pixels differ, by up to {np.abs(made - wanted).max():.3g}; "
        f"the first at row {row}, column {column}: {made[:, row, column].round(4).tolist()} instead of "
        f"{wanted[:, row, column].round(4).tolist()}."
    ]
