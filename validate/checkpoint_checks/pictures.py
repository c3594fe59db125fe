"""GLM-Edge-V: placeholder, number of image tokens, and the preparation of pictures fit the tower."""

from __future__ import annotations

from typing import Any

from ...convert.checkpoint import read_json
from ...convert.families.glm_edge_v import GlmEdgeVision
from ...convert.families.glm_edge_v_model.facts import BOI_TOKEN_ID, EOI_TOKEN_ID, PLACEHOLDER
from ...convert.families.glm_edge_v_model.files import ONE_PICTURE, PREPROCESSOR
from ...convert.families.glm_edge_v_model.pixels import Preprocess
from ...core.errors import CheckpointError
from . import processor
from .glm_edge import VOCABULARY
from .row import Row, judged
from .subject import Subject
from .template import render, roles_of
from .tokenizer import Tokenizer

END = "<|end_of_image|>"
_TOWER = "siglip_vision_model"
_STALE = "Template, tokenizer and configs are of different models or revisions; download all files again."
_DEFAULTS = {
    "do_convert_rgb": True, "do_resize": True, "do_rescale": True, "do_normalize": True, "do_pad": True,
    "rescale_factor": "1/255", "max_image_tiles": 1,
}  # fmt: skip
"""What we take for absent keys of preprocessor_config.json: MllamaImageProcessor's defaults, but for its tiles (4)."""


def rows(subject: Subject) -> list[Row]:
    """Look at everything between a picture and the tower; of a GLM-Edge-V its makers' files are told apart here."""
    vision = subject.vision
    if vision is not None and not isinstance(vision, GlmEdgeVision):
        return processor.rows(subject, vision)
    if vision is None:
        return []
    found = [_tower(subject.config["vision_config"])]
    if isinstance(subject.tokenizer, Tokenizer):
        found += [_begin(subject, vision, subject.tokenizer), _end(subject.config, subject.tokenizer)]
    if isinstance(subject.template, str):
        found.append(_image_tokens(subject.template, vision, roles_of(subject)))
    return found + _preparation(subject, vision)


def _tower(described: dict[str, Any]) -> Row:
    kind, name = described.get("model_type"), "vision_config.model_type"
    if kind is None:
        return Row("pictures", name, _TOWER, "absent", "assumed", "the tensors' names and shapes are SigLIP's")
    note = "Another tower needs another converter."
    return judged("pictures", name, _TOWER, str(kind), right=kind == _TOWER, note=note)


def _begin(subject: Subject, vision: GlmEdgeVision, tokenizer: Tokenizer) -> Row:
    """config.json's id is what a runtime looks for, the token is what the template writes."""
    encoded = tokenizer.encode(PLACEHOLDER)
    own = tokenizer.ids.get(PLACEHOLDER)
    expected = f"{own if own is not None else 'the id of'} {PLACEHOLDER}"
    right = own is not None and encoded == [own] == [vision.placeholder]
    if subject.vocab_size == VOCABULARY:
        expected, right = f"{BOI_TOKEN_ID} {PLACEHOLDER}", right and own == BOI_TOKEN_ID
    found = tokenizer.named([vision.placeholder])
    if encoded != [own]:
        found += f"; {PLACEHOLDER} is encoded as {encoded}"
    return judged("pictures", "boi_token_id", expected, found, right=right, note=_STALE)


def _end(config: dict[str, Any], tokenizer: Tokenizer) -> Row:
    stated, own = config.get("eoi_token_id"), tokenizer.ids.get(END)
    if config.get("vocab_size") == VOCABULARY and stated is None:
        note = f"the model has no use for it; {EOI_TOKEN_ID} is GLM-OCR's image_end in the same range of ids"
        status_found = f"absent; {EOI_TOKEN_ID} is used, and {END} is {own}"
        return Row("pictures", "eoi_token_id", f"{EOI_TOKEN_ID} {END}", status_found, "assumed", note)
    if stated is None:
        return Row("pictures", "eoi_token_id", f"{own} {END}", "absent", "assumed", "the model has no use for it")
    right = stated == own
    return judged("pictures", "eoi_token_id", f"{own} {END}", tokenizer.named([stated]), right=right, note=_STALE)


def _image_tokens(template: str, vision: GlmEdgeVision, roles: dict[str, str]) -> Row:
    side = f"{vision.tower.image_size}/{vision.tower.patch_size}/2"
    expected = f"{vision.image_tokens} {PLACEHOLDER} a picture: ({side})² + 2"
    try:
        count = render(template, ONE_PICTURE, roles).count(PLACEHOLDER)
    except ValueError as error:
        return Row("pictures", "image tokens", expected, str(error), "wrong", _STALE)
    right = count == vision.image_tokens
    return judged("pictures", "image tokens", expected, f"the template writes {count}", right=right, note=_STALE)


def _preparation(subject: Subject, vision: GlmEdgeVision) -> list[Row]:
    path, expected = subject.checkpoint.folder / PREPROCESSOR, "fit top left, pad, normalize; one tile"
    missing = "Pictures need it; download it again."
    if not path.is_file():
        return [Row("pictures", PREPROCESSOR, expected, "it is missing", "wrong", missing)]
    try:
        stated = read_json(path)
        rule = Preprocess.from_config(stated)
    except (CheckpointError, TypeError, ValueError) as error:
        return [Row("pictures", PREPROCESSOR, expected, str(error), "wrong", missing)]
    said = f"{rule.size} px, mean {rule.mean}, std {rule.std}, resample {rule.resample}"
    size = f"{vision.tower.image_size} px, as the tower takes it"
    rows = [
        Row("pictures", PREPROCESSOR, expected, said),
        judged(
            "pictures", "image size", size, f"{rule.size} px", right=rule.size == vision.tower.image_size, note=_STALE
        ),
    ]
    absent = [key for key in _DEFAULTS if stated.get(key) is None]
    if absent:
        used = ", ".join(f"{key} {_DEFAULTS[key]}" for key in absent)
        note = "MllamaImageProcessor's defaults; GLM-Edge-V's demo makes one tile of a picture"
        rows.append(Row("pictures", "preparation", "every step stated", f"absent; used: {used}", "assumed", note))
    return rows
