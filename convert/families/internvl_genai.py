"""`--layout genai` of InternVL: `openvino_genai.VLMPipeline` knows the model as its makers' own code, `internvl_chat`.

Graphs and weights are those of the default layout; config.json states that type, and preprocessor_config.json the side of a
tile as `shortest_edge`. The pipeline cuts pictures itself.

Source: run with openvino_genai 2026.4.1; its source has them in `src/cpp/src/visual_language/internvl_chat/classes.cpp`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ...core import tokenizer_files
from ...core.errors import CheckpointError
from ..program.vision import PREPROCESSORS, preprocessor
from ..template_file import read_template

TYPE = "internvl_chat"
TOKENS = ("<img>", "<IMG_CONTEXT>", "</img>")
"""What the pipeline writes before a picture, for each of its rows, and behind it."""
_TILES = {"min_patches": 1, "max_patches": 12, "crop_to_patches": True, "do_resize": True, "do_rescale": True}
"""What it takes for granted beside mean and deviation, which it reads."""
_BICUBIC = 3
NOTES = (
    "layout genai: for openvino_genai.VLMPipeline, as internvl_chat; edgeconv chat, edgeconv validate and transformers take the "
    "default layout, whose graphs and weights are the same",
    "layout genai: pictures of whole tiles are prepared as transformers prepares them; others are resized by the pipeline's own "
    "bicubic filter, so their pixels differ a little",
)
"""For the plan and the manifest."""


def check(folder: Path, placeholder: int) -> list[str]:
    """Check that the pipeline prepares a checkpoint's pictures and prompts as its own processor does.

    Returns:
        Sentences for the plan.

    Raises:
        CheckpointError: it would do otherwise.
    """
    hint, stated = "Take the default layout.", preprocessor(folder)
    for name, wanted in _TILES.items():
        if stated.get(name, wanted) != wanted:
            raise CheckpointError(
                f"openvino_genai always has {name} = {wanted}; this checkpoint states {stated[name]!r}.", hint
            )
    if stated.get("resample", _BICUBIC) != _BICUBIC:
        raise CheckpointError(f"openvino_genai resizes bicubically, not by filter {stated['resample']!r}.", hint)
    known = {token.content: number for number, token in tokenizer_files.read(folder).added.items()}
    if any(token not in known for token in TOKENS) or known[TOKENS[1]] != placeholder:
        raise CheckpointError(
            f"openvino_genai writes a picture as {''.join(TOKENS)}, which the tokenizer does not have.", hint
        )
    if read_template(folder) is None:
        raise CheckpointError("The checkpoint has no chat template, and openvino_genai needs one.", hint)
    return list(NOTES)


def changes(folder: Path, config: dict[str, Any], side: int) -> dict[str, dict[str, Any]]:
    """Return the files that are otherwise in this layout, by name; `folder` is the checkpoint's."""
    return {
        "config.json": {**config, "model_type": TYPE},
        PREPROCESSORS[0]: {**preprocessor(folder), "size": {"shortest_edge": side}},
    }
