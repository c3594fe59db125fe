"""GLM-OCR: GLM-4.1V's tower without a table of places, with norms of queries and keys, over GLM-4's block without biases.

Nobody else exports it to OpenVINO: parts are named as Qwen2-VL's. Source: `transformers/models/glm_ocr/`.
"""

from __future__ import annotations

from ..program.decoder import Decoder
from ..program.grid_vision import FIELDS, GridVision, multi_axis
from ..program.reading import Config, Reader
from ..program.spec import LanguagePart, VisionPart, vision_language
from .glm4v import DEFAULTS as GLM4V
from .glm4v import MORE, language, read_tower
from .glm4v_gguf import GGUF, MMPROJ, SECTIONS

DEFAULTS = GLM4V | {
    "hidden_size": 1024,
    "attention_bias": True,
    "num_heads": 16,
    "out_hidden_size": 1536,
    "intermediate_size": 4096,
}
"""What `GlmOcrVisionConfig` takes for a field that is absent."""


def _described(config: Config, vision_config: Config, decoder: Decoder) -> GridVision:
    read = Reader(vision_config, DEFAULTS, "vision_config.")
    tower = read_tower(
        read,
        intermediate_size=read.size("intermediate_size"),
        context=read.size("out_hidden_size") * read.size("in_channels"),
        more_biases=bool(read.get("attention_bias")),
        head_norm=True,
    )
    return GridVision.read("glm_ocr", config, read, tower, decoder)


FAMILY = vision_language(
    "glm_ocr",
    "GlmOcrForConditionalGeneration",
    LanguagePart("glm4", language(biased=False, square=False, num_key_value_heads=8), multi_axis(sections=SECTIONS)),
    VisionPart(
        "glm_ocr",
        title="GLM-OCR",
        prefix="model.visual.",
        fields=FIELDS | frozenset(DEFAULTS) | MORE,
        describe=_described,
        mmproj=MMPROJ,
    ),
    gguf=GGUF,
)
