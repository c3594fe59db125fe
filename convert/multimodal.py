"""Vision-language checkpoints in one form, whichever release of transformers has saved them.

Names: the language model's are those of a text model ("model.layers.0…", "lm_head.weight"), all others those of transformers 5
("model.visual…", "model.vision_tower…"). Config: the fields of text_config stand beside the others, as `model_type` and
vision_config do. The files stay as they are: an artifact's config.json is the checkpoint's own.

Source: `conversion_mapping.py` of transformers 5.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..core.errors import ArtifactError
from ..core.json_file import read_json
from . import families
from .base_names import with_names
from .program.reading import UnsupportedArchitecture

if TYPE_CHECKING:
    from .checkpoint import Checkpoint
    from .program.decoder import Decoder
    from .program.vision import Vision

LANGUAGE = "model."
_FRONTS = {
    "language_model.model.": LANGUAGE,
    "language_model.lm_head.": "lm_head.",
    "model.language_model.model.": LANGUAGE,
    "model.language_model.lm_head.": "lm_head.",
    "model.language_model.": LANGUAGE,
    "model.text_model.": LANGUAGE,
    "visual.": "model.visual.",
    "vision_tower.": "model.vision_tower.",
    "multi_modal_projector.": "model.multi_modal_projector.",
    "image_newline": "model.image_newline",
}
"""How names begin in checkpoints → how they begin here."""


def flat(config: dict[str, Any]) -> dict[str, Any]:
    """Return config.json with the fields of its text_config beside its own, which hold where both state one; others as it is."""
    text = config.get("text_config")
    if not isinstance(text, dict) or not is_ours(str(config["model_type"])):
        return config
    return {**text, **{name: value for name, value in config.items() if value is not None or name not in text}}


def named(name: str) -> str:
    """Return a tensor's name in the form above."""
    front = next((front for front in _FRONTS if name.startswith(front)), "")
    return _FRONTS[front] + name[len(front) :] if front else name


def view(checkpoint: Checkpoint) -> Checkpoint:
    """Return a vision-language checkpoint of a family with a vision part in the form above; others as they are."""
    if not is_ours(checkpoint.model_type):
        return checkpoint
    return replace(with_names(checkpoint, named), config=flat(checkpoint.config))


def described(folder: Path) -> tuple[Decoder, Vision]:
    """Describe language model and vision encoder of an artifact, by its config.json alone.

    Raises:
        ArtifactError: no family with a vision part is of its type.
        CheckpointError: config.json is damaged, or contradicts itself.
    """
    path = folder / "config.json"
    if not path.is_file():
        raise ArtifactError(f"There is no {path}, which says how the model sees.", "Convert the checkpoint again.")
    config = read_json(path)
    kind = config.get("model_type")
    part = families.vision_part(kind) if isinstance(kind, str) else None
    if part is None or part.model_type != kind:
        raise ArtifactError(
            f"{folder} is a model of type {kind}, of which edgeconv does not know how it sees.",
            f"Known are {', '.join(families.vision_language_types())}. For OpenVINO, openvino_genai.VLMPipeline may run others.",
        )
    try:
        decoder = families.decoder(flat(config))
    except UnsupportedArchitecture as reason:
        raise ArtifactError(
            f"{folder} cannot be read as a {part.title}: {reason}.", "Convert the checkpoint again."
        ) from reason
    prefix = part.prefix if isinstance(part.prefix, str) else part.prefix[0]
    vision = families.vision(flat(config), [prefix], decoder)
    assert vision is not None
    return decoder, vision


def is_ours(model_type: str) -> bool:
    """Tell whether checkpoints of a type are seen in this form."""
    part = families.vision_part(model_type)
    return part is not None and part.model_type == model_type
