"""Qwen3.5 with pictures: the vision encoder of Qwen3-VL without DeepStack. Source: `transformers/models/qwen3_5/`."""

from __future__ import annotations

from ..program.decoder import Decoder
from ..program.grid_vision import FIELDS, GridVision, common, multi_axis, plain_rope, side_of
from ..program.grid_vit import QWEN3, GridTower
from ..program.reading import Config, Reader
from ..program.spec import LanguagePart, VisionPart, vision_language
from .qwen3_5_text import FAMILY as TEXT
from .qwen3_vl_gguf import WITHOUT_DEEPSTACK as MMPROJ

DEFAULTS = {
    "depth": 27,
    "hidden_size": 1152,
    "hidden_act": "gelu_pytorch_tanh",
    "intermediate_size": 4304,
    "out_hidden_size": 3584,
    "num_position_embeddings": 2304,
    "num_heads": 16,
    "in_channels": 3,
    "patch_size": 16,
    "spatial_merge_size": 2,
    "temporal_patch_size": 2,
}
"""What `Qwen3_5VisionConfig` takes for a field that is absent."""


def _described(config: Config, vision_config: Config, decoder: Decoder) -> GridVision:
    read = Reader(vision_config, DEFAULTS, "vision_config.")
    places = read.size("num_position_embeddings")
    tower = GridTower(
        **common(read),
        hidden_size=read.size("hidden_size"),
        intermediate_size=read.size("intermediate_size"),
        out_size=read.size("out_hidden_size"),
        names=QWEN3,
        patch_bias=True,
        table=side_of(places),
    )
    return GridVision.read("qwen3_5", config, read, tower, decoder)


FAMILY = vision_language(
    "qwen3_5",
    "Qwen3_5ForConditionalGeneration",
    LanguagePart("qwen3_5_text", plain_rope(), multi_axis(woven=True, leading=1, sections=(11, 11, 10))),
    VisionPart(
        "qwen3_5",
        title="Qwen3.5",
        mmproj=MMPROJ,
        prefix="model.visual.",
        fields=FIELDS | frozenset(DEFAULTS),
        describe=_described,
    ),
    gguf=TEXT.gguf,
)
