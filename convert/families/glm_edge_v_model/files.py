"""The small files around a GLM-Edge-V: do they fit its tower, and what the artifact gets of them.

A template with another number of placeholders, or pictures of another size, makes answers that look like answers. The
conversion checks them before a weight is read.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ....core.errors import CheckpointError
from ....core.json_file import read_json
from ...template_file import STALE, read_template, render
from .facts import MODEL_TYPE, PLACEHOLDER

PREPROCESSOR, PROCESSOR = "preprocessor_config.json", "processor_config.json"
ONE_PICTURE = [{"role": "user", "content": [{"type": "image"}]}]
ARCHITECTURE = "GlmEdgeVForConditionalGeneration"
"""Ours; the checkpoints name the text model's."""
_CLASSES = {"image_processor_type": "GlmEdgeVImageProcessor", "processor_class": "GlmEdgeVProcessor"}


@dataclass(frozen=True)
class Wanted:
    """What the files must be made for: the side of a picture and of a patch in pixels, rows of a picture, and the placeholder."""

    side: int
    patch: int
    rows: int
    placeholder: int


def check(folder: Path, tower: Wanted) -> list[str]:
    """Check tokenizer, chat template and preprocessor_config.json against the tower.

    Returns:
        Sentences for the plan.

    Raises:
        CheckpointError: one of them belongs to another model.
    """
    _check_preprocessor(folder, tower)
    _check_placeholder(folder, tower)
    template = read_template(folder)
    if template is None:
        return [f"there is no chat template: a prompt must hold {tower.rows} {PLACEHOLDER} for each picture"]
    count = render(template, ONE_PICTURE).count(PLACEHOLDER)
    if count != tower.rows:
        raise CheckpointError(
            f"The chat template writes {count} {PLACEHOLDER} for a picture, but the tower makes {tower.rows} rows "
            f"({tower.side} px, patches of {tower.patch}).",
            STALE,
        )
    return []


def written(folder: Path, tower: Wanted) -> dict[str, dict[str, Any]]:
    """Return what an artifact has in the place of the checkpoint's files, parsed, by name."""
    config = read_json(folder / "config.json") | {"model_type": MODEL_TYPE, "architectures": [ARCHITECTURE]}
    return {
        "config.json": config,
        PREPROCESSOR: preprocessor(folder),
        PROCESSOR: processor(folder, tower),
    }


def preprocessor(source: Path) -> dict[str, Any]:
    """Return the artifact's preprocessor_config.json: the checkpoint's, with every default stated and no remote code."""
    from .pixels import Preprocess

    stated = read_json(source / PREPROCESSOR)
    rule = Preprocess.from_config(stated)
    defaults = {
        "do_convert_rgb": True, "do_resize": True, "do_pad": True, "do_rescale": True, "do_normalize": True,
        "rescale_factor": rule.rescale_factor, "max_image_tiles": 1,
    }  # fmt: skip
    fixed = {"size": {"height": rule.size, "width": rule.size}, **_CLASSES}
    return {**defaults, **{name: value for name, value in stated.items() if name != "auto_map"}, **fixed}


def processor(source: Path, tower: Wanted) -> dict[str, Any]:
    """Return the artifact's processor_config.json, which says how many placeholders a picture has."""
    path = source / PROCESSOR
    stated = read_json(path) if path.is_file() else {}
    stated.pop("auto_map", None)
    return {**stated, "processor_class": _CLASSES["processor_class"], "image_tokens": tower.rows}


def _check_preprocessor(folder: Path, tower: Wanted) -> None:
    from .pixels import Preprocess

    size = Preprocess.from_folder(folder).size
    if size != tower.side:
        raise CheckpointError(
            f"{PREPROCESSOR} makes pictures of {size} px, but the tower takes {tower.side}.",
            "The two files are of different models or revisions; download both again.",
        )


def _check_placeholder(folder: Path, tower: Wanted) -> None:
    """The id in config.json is what a runtime looks for, the token is what the template writes."""
    path = folder / "tokenizer.json"
    if not path.is_file():
        raise CheckpointError(f"{folder.name} has no tokenizer.json.", "Add the checkpoint's file.")
    added = read_json(path).get("added_tokens")
    ids = {t.get("content"): t.get("id") for t in added if isinstance(t, dict)} if isinstance(added, list) else {}
    if ids.get(PLACEHOLDER) != tower.placeholder:
        has = f"has the id {ids[PLACEHOLDER]}" if PLACEHOLDER in ids else "is not there"
        raise CheckpointError(
            f"config.json says that boi_token_id is {tower.placeholder}; in tokenizer.json {PLACEHOLDER} {has}.",
            STALE,
        )
