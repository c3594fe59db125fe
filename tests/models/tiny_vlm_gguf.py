"""What the tiny vision-language checkpoints must be like for llama.cpp's graphs, and GGUFs of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from edgeconv.convert.conversion import GgufJob, run
from edgeconv.convert.families import registry
from edgeconv.convert.gguf.recipe import recipe

from . import tiny_vlm

OVERRIDES: dict[str, dict[str, Any]] = {
    # llama.cpp b9190 takes every sixth layer for a global one, and does not run a model that has none
    "gemma3": {"text_config": {"num_hidden_layers": 6, "layer_types": [*["sliding_attention"] * 5, "full_attention"]}},
    "qwen2_5_vl": {"vision_config": {"window_size": 112}},
    # a table that fits a picture of as few rows as llama.cpp makes
    "qwen3_vl": {"vision_config": {"num_position_embeddings": 36}},
    "qwen3_5": {"vision_config": {"num_position_embeddings": 36}},
}
LARGER = ("glm4v", "glm_ocr", "qwen2_5_vl")
"""Types whose pictures may be larger here: llama.cpp makes eight rows of one at least, and its windows are 112 pixels wide."""
REFUSED = ("llava", "llava_next")
"""Types whose towers llama.cpp's graph of their projector does not express, as the tiny checkpoints have them."""
DECLARED = [one.model_type for one in registry.every() if one.language and one.vision_part and one.vision_part.mmproj]
TYPES = sorted(set(DECLARED) - set(REFUSED))
"""Types whose pictures llama.cpp sees."""


def make(model_type: str, folder: Path) -> Path:
    """Write a checkpoint in float32 that llama.cpp's graphs express, and return its folder."""
    made = tiny_vlm.make(model_type, folder, dtype="float32", **OVERRIDES.get(model_type, {}))
    for name in ("preprocessor_config.json", "processor_config.json"):
        if model_type in LARGER and (made / name).is_file():
            stated = json.loads((made / name).read_text("utf-8"))
            inner = stated.get("image_processor", stated)
            place, name_of = (inner, "max_pixels") if "max_pixels" in inner else (inner["size"], "longest_edge")
            place[name_of] *= 8
            (made / name).write_text(json.dumps(stated), "utf-8")
    return made


def convert(source: Path, out: Path) -> tuple[Path, Path]:
    """Write both files in float32; return language model and mmproj."""
    run(GgufJob(str(source), recipe("f32"), output=out, vision_precision="fp32"))
    (projector,) = out.glob("mmproj-*.gguf")
    (model,) = (file for file in out.glob("*.gguf") if file != projector)
    return model, projector
