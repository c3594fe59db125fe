"""The small files around a vision-language model: do they fit its tower, and what the artifact gets of them.

A template with another number of placeholders, or pictures of another size, makes answers that look like answers. The
conversion checks them before a weight is read.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ...core import tokenizer_files
from ...core.chat_template import ChatTemplate, TemplateFault
from ...core.errors import CheckpointError
from ..checkpoint import read_json
from ..families.glm_edge_v import Vision
from ..families.glm_edge_v_model.facts import PLACEHOLDER

PREPROCESSOR, PROCESSOR = "preprocessor_config.json", "processor_config.json"
ONE_PICTURE = [{"role": "user", "content": [{"type": "image"}]}]
_STALE = "Template, tokenizer and config.json are of different models or revisions; download all files again."
_CLASSES = {"image_processor_type": "GlmEdgeVImageProcessor", "processor_class": "GlmEdgeVProcessor"}


def check(folder: Path, vision: Vision) -> list[str]:
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
            f"({vision.image_size} px, patches of {vision.patch_size}).",
            _STALE,
        )
    return []


def preprocessor(source: Path) -> dict[str, Any]:
    """Return the artifact's preprocessor_config.json: the checkpoint's, with every default stated and no remote code."""
    from ..families.glm_edge_v_model.pixels import Preprocess

    stated = read_json(source / PREPROCESSOR)
    rule = Preprocess.from_config(stated)
    defaults = {
        "do_convert_rgb": True, "do_resize": True, "do_pad": True, "do_rescale": True, "do_normalize": True,
        "rescale_factor": rule.rescale_factor, "max_image_tiles": 1,
    }  # fmt: skip
    fixed = {"size": {"height": rule.size, "width": rule.size}, **_CLASSES}
    return {**defaults, **{name: value for name, value in stated.items() if name != "auto_map"}, **fixed}


def processor(source: Path, vision: Vision) -> dict[str, Any]:
    """Return the artifact's processor_config.json, which says how many placeholders a picture has."""
    path = source / PROCESSOR
    stated = read_json(path) if path.is_file() else {}
    stated.pop("auto_map", None)
    return {**stated, "processor_class": _CLASSES["processor_class"], "image_tokens": vision.image_tokens}


def read_template(folder: Path) -> str | None:
    """Return a folder's default chat template, by the rule for all formats (`tokenizer_files.Files.templates`).

    Raises:
        CheckpointError: it is not a text, or its file is damaged.
    """
    config = folder / "tokenizer_config.json"
    stated: Any = read_json(config).get("chat_template") if config.is_file() else None
    if stated is not None and not isinstance(stated, (str, list)):
        raise CheckpointError(f"The chat template in {config.name} is not a text.", "Download the file again.")
    files = tokenizer_files.Files(folder, config={"chat_template": stated})
    return files.templates().get("default")


def render(template: str, messages: list[dict[str, Any]]) -> str:
    """Render a chat template as transformers does.

    Raises:
        CheckpointError: it cannot be rendered.
    """
    try:
        return ChatTemplate(template).render(messages=messages, add_generation_prompt=True)
    except TemplateFault as error:
        raise CheckpointError(f"The chat template cannot be rendered for a picture: {error}.", _STALE) from error


def _check_preprocessor(folder: Path, vision: Vision) -> None:
    from ..families.glm_edge_v_model.pixels import Preprocess

    size = Preprocess.from_folder(folder).size
    if size != vision.image_size:
        raise CheckpointError(
            f"{PREPROCESSOR} makes pictures of {size} px, but the tower takes {vision.image_size}.",
            "The two files are of different models or revisions; download both again.",
        )


def _check_placeholder(folder: Path, vision: Vision) -> None:
    """The id in config.json is what a runtime looks for, the token is what the template writes."""
    path = folder / "tokenizer.json"
    if not path.is_file():
        raise CheckpointError(f"{folder.name} has no tokenizer.json.", "Add the checkpoint's file.")
    added = read_json(path).get("added_tokens")
    ids = {t.get("content"): t.get("id") for t in added if isinstance(t, dict)} if isinstance(added, list) else {}
    if ids.get(PLACEHOLDER) != vision.boi_token_id:
        has = f"has the id {ids[PLACEHOLDER]}" if PLACEHOLDER in ids else "is not there"
        raise CheckpointError(
            f"config.json says that boi_token_id is {vision.boi_token_id}; in tokenizer.json {PLACEHOLDER} {has}.",
            _STALE,
        )
