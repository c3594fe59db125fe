"""Qwen3-VL: places from a table that is stretched over the picture, and rows for several layers (DeepStack).

Source: `transformers/models/qwen3_vl/`.
"""

from __future__ import annotations

from dataclasses import replace

from ..program.decoder import Decoder
from ..program.grid_vision import FIELDS, GridVision, common, multi_axis, numbers, plain_rope, side_of
from ..program.grid_vit import QWEN3, GridTower
from ..program.reading import Config, Reader
from ..program.spec import LanguagePart, VisionPart, vision_language
from .qwen3_vl_gguf import GGUF, MMPROJ

DEFAULTS = {
    "depth": 27,
    "hidden_size": 1152,
    "hidden_act": "gelu_pytorch_tanh",
    "intermediate_size": 4304,
    "out_hidden_size": 3584,
    "num_position_embeddings": 2304,
    "deepstack_visual_indexes": (8, 16, 24),
    "num_heads": 16,
    "in_channels": 3,
    "patch_size": 16,
    "spatial_merge_size": 2,
    "temporal_patch_size": 2,
}
"""What `Qwen3VLVisionConfig` takes for a field that is absent."""


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
        deep=numbers(read, "deepstack_visual_indexes", read.layers("depth")),
    )
    return GridVision.read("qwen3_vl", config, read, tower, decoder)


def _adapted(config: Config, decoder: Decoder) -> Decoder:
    read = Reader(config.get("vision_config") or {}, DEFAULTS, "vision_config.")
    deep = numbers(read, "deepstack_visual_indexes", read.layers("depth"))
    turned: Decoder = multi_axis(woven=True, sections=(24, 20, 20))(config, decoder)
    return replace(turned, deepstack=len(deep))


FAMILY = vision_language(
    "qwen3_vl",
    "Qwen3VLForConditionalGeneration",
    LanguagePart("qwen3", plain_rope(rope_theta=5e5), _adapted),
    VisionPart(
        "qwen3_vl",
        title="Qwen3-VL",
        mmproj=MMPROJ,
        prefix="model.visual.",
        fields=FIELDS | frozenset(DEFAULTS),
        describe=_described,
    ),
    gguf=GGUF,
)
