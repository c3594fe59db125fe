"""Qwen2.5-VL: as Qwen2-VL, with windows, RMS norms and gated MLPs. Source: `transformers/models/qwen2_5_vl/`."""

from __future__ import annotations

from ..program.decoder import Decoder
from ..program.grid_vision import FIELDS, GridVision, common, multi_axis, numbers, plain_rope
from ..program.grid_vit import GATED, GridTower
from ..program.reading import Config, Reader
from ..program.spec import LanguagePart, VisionPart, vision_language
from .qwen2_5_vl_gguf import GGUF, MMPROJ

DEFAULTS = {
    "depth": 32,
    "hidden_size": 3584,
    "hidden_act": "silu",
    "intermediate_size": 3420,
    "window_size": 112,
    "out_hidden_size": 3584,
    "fullatt_block_indexes": (7, 15, 23, 31),
    "num_heads": 16,
    "in_channels": 3,
    "patch_size": 14,
    "spatial_merge_size": 2,
    "temporal_patch_size": 2,
}
"""What `Qwen2_5_VLVisionConfig` takes for a field that is absent."""


def _described(config: Config, vision_config: Config, decoder: Decoder) -> GridVision:
    read = Reader(vision_config, DEFAULTS, "vision_config.")
    unit = read.size("spatial_merge_size") * read.size("patch_size")
    tower = GridTower(
        **common(read),
        hidden_size=read.size("hidden_size"),
        intermediate_size=read.size("intermediate_size"),
        out_size=read.size("out_hidden_size"),
        names=GATED,
        rms=True,
        window=read.size("window_size") // unit,
        whole=numbers(read, "fullatt_block_indexes", read.layers("depth")),
    )
    return GridVision.read("qwen2_5_vl", config, read, tower, decoder)


FAMILY = vision_language(
    "qwen2_5_vl",
    "Qwen2_5_VLForConditionalGeneration",
    LanguagePart("qwen2", plain_rope(rms_norm_eps=1e-5, rope_theta=1e6), multi_axis()),
    VisionPart(
        "qwen2_5_vl",
        title="Qwen2.5-VL",
        mmproj=MMPROJ,
        prefix="model.visual.",
        fields=FIELDS | frozenset(DEFAULTS),
        describe=_described,
    ),
    gguf=GGUF,
)
