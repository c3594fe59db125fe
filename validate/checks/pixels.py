"""Vision, first check: what the artifact's own processor makes of a picture is what the reference's does, to the bit.

The reference is not our code: it is transformers' image processor of the checkpoint's files; for GLM-Edge-V, which transformers
does not have, that of Mllama, which its preprocessor_config.json names. The artifact's side reads the files in the artifact.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ...convert.program.vision import Arrays
from ...core import limits
from ...core.errors import EdgeconvError
from ...core.picture_file import open_picture
from ...core.picture_task import upright_rgb
from ..report.model import Check
from ..suite import Picture

Array = npt.NDArray[Any]
FILE = "preprocessor_config.json"


def mllama(folder: Path) -> Callable[[Any], Array]:
    """Return what makes float32 [3, S, S] of an upright RGB picture, by transformers, from preprocessor_config.json."""
    from transformers.models.mllama.image_processing_pil_mllama import MllamaImageProcessorPil

    config = json.loads(limits.read_text(folder / FILE, limits.JSON))
    config = {key: value for key, value in config.items() if key != "image_processor_type"} | {"max_image_tiles": 1}
    processor = MllamaImageProcessorPil(**config)
    return lambda picture: processor(picture, return_tensors="np")["pixel_values"][0, 0, 0]


def reference(folder: Path, pictures: Sequence[Picture]) -> list[Array]:
    """Return `mllama` of each picture."""
    made = mllama(folder)
    return [made(upright_rgb(open_picture(picture.path))) for picture in pictures]


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


def check(pictures: Mapping[str, Any], made: Callable[[Any], Arrays], expected: Callable[[Any], Arrays]) -> Check:
    """Compare.

    Args:
        pictures: of PIL, by what they are called.
        made: what the artifact's files make of one.
        expected: what the checkpoint's make of it, by transformers. A picture that it refuses is to be refused.
    """
    started = time.perf_counter()
    failures: list[str] = []
    worst, compared = 0.0, 0
    for name, picture in pictures.items():
        wanted, found = _made(expected, picture), _made(made, picture)
        if isinstance(wanted, str) and isinstance(found, str):
            continue  # neither takes it
        compared += 1
        if isinstance(wanted, str):
            failures.append(f"{name}: prepared, though the checkpoint's own processor refuses it: {wanted}")
        elif isinstance(found, str):
            failures.append(f"{name}: {found}")
        else:
            wrong, apart = _differences(name, found, wanted)
            failures += wrong
            worst = max(worst, apart)
    if not compared:
        failures.append("The suite has no pictures.")
    wrong_ones = len({failure.partition(":")[0] for failure in failures})
    return Check(
        name="pixels",
        status="failed" if failures else "passed",
        summary=f"{compared} pictures give the reference's pixels."
        if not failures
        else f"{wrong_ones} of {len(pictures)} pictures give other pixels.",
        failures=failures[:5],
        figures={"pictures": float(compared), "max_abs": worst},
        seconds=time.perf_counter() - started,
    )


def _made(make: Callable[[Any], Arrays], picture: Any) -> Arrays | str:
    try:
        return make(picture)
    except EdgeconvError as error:
        return error.message


def _differences(name: str, made: Arrays, wanted: Arrays) -> tuple[list[str], float]:
    """Return what is wrong with what became of a picture, and the largest difference of two values."""
    failures, worst = [], 0.0
    for field, right in wanted.items():
        if field not in made:
            failures.append(f"{name}: there is no {field}.")
            continue
        one, other = np.asarray(made[field], np.float64), np.asarray(right, np.float64)
        worst = max(worst, float(np.abs(one - other).max())) if one.shape == other.shape else float("inf")
        failures += _difference(f"{name}: {field}", made[field], right)
    return failures, worst


def _difference(name: str, made: Array, wanted: Array) -> list[str]:
    if made.shape != wanted.shape:
        return [f"{name} has the shape {list(made.shape)}, the reference's {list(wanted.shape)}."]
    different = made != wanted
    if not different.any():
        return []
    place = tuple(int(i) for i in np.argwhere(different)[0])
    apart = np.abs(made.astype(np.float64) - wanted).max()
    return [
        f"{name}: {different.mean():.1%} of the values differ, by up to {apart:.3g}; the first at {list(place)}: "
        f"{made[place]:.6g} instead of {wanted[place]:.6g}."
    ]
