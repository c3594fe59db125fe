"""The small files around a GLM-Edge-V: do they fit its tower, and what the artifact gets of them.

A template with another number of placeholders, or pictures of another size, makes answers that look like answers. The
conversion checks them before a weight is read.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ....core.errors import CheckpointError
from ....core.json_file import read_json
from ...template_file import STALE, read_template, render
from .facts import MODEL_TYPE, PLACEHOLDER

if TYPE_CHECKING:
    from ..glm_edge_v import GlmEdgeVision

PREPROCESSOR, PROCESSOR = "preprocessor_config.json", "processor_config.json"
ONE_PICTURE = [{"role": "user", "content": [{"type": "image"}]}]
ARCHITECTURE = "GlmEdgeVForConditionalGeneration"
"""Ours; the checkpoints name the text model's."""
_CLASSES = {"image_processor_type": "GlmEdgeVImageProcessor", "processor_class": "GlmEdgeVProcessor"}


def check(folder: Path, vision: GlmEdgeVision) -> list[str]:
    """Check tokenizer, chat template and preprocessor_config.json against the tower.

    Returns:
        Sentences for the plan.

    Raises:
        CheckpointError: one of them belongs to another model.
    """
    _check_preprocessor(folder, vision)
    _check_placeholder(folder, vision)
    template = read_template(folder)
    if template is None:
        return [f"there is no chat template: a prompt must hold {vision.image_tokens} {PLACEHOLDER} for each picture"]
    count = render(template, ONE_PICTURE).count(PLACEHOLDER)
    if count != vision.image_tokens:
        raise CheckpointError(
            f"The chat template writes {count} {PLACEHOLDER} for a picture, but the tower makes {vision.image_tokens} rows "
            f"({vision.tower.image_size} px, patches of {vision.tower.patch_size}).",
            STALE,
        )
    return []


def written(folder: Path, vision: GlmEdgeVision) -> dict[str, dict[str, Any]]:
    """Return what an artifact has in the place of the checkpoint's files, parsed, by name."""
    config = read_json(folder / "config.json") | {"model_type": MODEL_TYPE, "architectures": [ARCHITECTURE]}
    return {
        "config.json": config,
        PREPROCESSOR: preprocessor(folder),
        PROCESSOR: processor(folder, vision),
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


def processor(source: Path, vision: GlmEdgeVision) -> dict[str, Any]:
    """Return the artifact's processor_config.json, which says how many placeholders a picture has."""
    path = source / PROCESSOR
    stated = read_json(path) if path.is_file() else {}
    stated.pop("auto_map", None)
    return {**stated, "processor_class": _CLASSES["processor_class"], "image_tokens": vision.image_tokens}


def _check_preprocessor(folder: Path, vision: GlmEdgeVision) -> None:
    from .pixels import Preprocess

    size = Preprocess.from_folder(folder).size
    if size != vision.tower.image_size:
        raise CheckpointError(
            f"{PREPROCESSOR} makes pictures of {size} px, but the tower takes {vision.tower.image_size}.",
            "The two files are of different models or revisions; download both again.",
        )


def _check_placeholder(folder: Path, vision: GlmEdgeVision) -> None:
    """The id in config.json is what a runtime looks for, the token is what the template writes."""
    path = folder / "tokenizer.json"
    if not path.is_file():
        raise CheckpointError(f"{folder.name} has no tokenizer.json.", "Add the checkpoint's file.")
    added = read_json(path).get("added_tokens")
    ids = {t.get("content"): t.get("id") for t in added if isinstance(t, dict)} if isinstance(added, list) else {}
    if ids.get(PLACEHOLDER) != vision.placeholder:
        has = f"has the id {ids[PLACEHOLDER]}" if PLACEHOLDER in ids else "is not there"
        raise CheckpointError(
            f"config.json says that boi_token_id is {vision.placeholder}; in tokenizer.json {PLACEHOLDER} {has}.",
            STALE,
        )
