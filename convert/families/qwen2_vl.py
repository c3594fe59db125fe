"""Qwen2-VL: pictures of any size, positions by time, row and column. Source: `transformers/models/qwen2_vl/`."""

from __future__ import annotations

from ..program.decoder import Decoder
from ..program.grid_vision import FIELDS, GridVision, common, multi_axis, plain_rope
from ..program.grid_vit import GridTower, Names
from ..program.reading import Config, Reader
from ..program.spec import LanguagePart, VisionPart, vision_language
from .qwen2_vl_gguf import GGUF, MMPROJ

DEFAULTS = {
    "depth": 32,
    "embed_dim": 1280,
    "hidden_size": 3584,
    "hidden_act": "quick_gelu",
    "mlp_ratio": 4,
    "num_heads": 16,
    "in_channels": 3,
    "patch_size": 14,
    "spatial_merge_size": 2,
    "temporal_patch_size": 2,
}
"""What `Qwen2VLVisionConfig` takes for a field that is absent."""


def _described(config: Config, vision_config: Config, decoder: Decoder) -> GridVision:
    read = Reader(vision_config, DEFAULTS, "vision_config.")
    width = read.size("embed_dim")
    tower = GridTower(
        **common(read),
        hidden_size=width,
        intermediate_size=int(width * read.number("mlp_ratio")),
        out_size=read.size("hidden_size"),
        names=Names(),
    )
    return GridVision.read("qwen2_vl", config, read, tower, decoder)


FAMILY = vision_language(
    "qwen2_vl",
    "Qwen2VLForConditionalGeneration",
    LanguagePart("qwen2", plain_rope(rms_norm_eps=1e-5, rope_theta=1e6), multi_axis()),
    VisionPart(
        "qwen2_vl",
        title="Qwen2-VL",
        mmproj=MMPROJ,
        prefix="model.visual.",
        fields=FIELDS | frozenset(DEFAULTS),
        describe=_described,
    ),
    gguf=GGUF,
)
