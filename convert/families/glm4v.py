"""GLM-4.1V and GLM-4.6V-Flash: pictures of any size, positions by time, row and column, over GLM-4's block.

Nobody else exports them to OpenVINO: parts are named as Qwen2-VL's. Source: `transformers/models/glm4v/`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..program.decoder import Decoder
from ..program.glm_vit import GlmTower
from ..program.grid_vision import FIELDS, GridVision, common, multi_axis, plain_rope
from ..program.grid_vit import GATED
from ..program.reading import Config, Reader, contradicting, whole
from ..program.spec import LanguagePart, VisionPart, vision_language
from .glm4v_gguf import GGUF, MMPROJ, SECTIONS

DEFAULTS: dict[str, Any] = {
    "depth": 24,
    "hidden_size": 1536,
    "hidden_act": "silu",
    "attention_bias": False,
    "num_heads": 12,
    "in_channels": 3,
    "image_size": 336,
    "patch_size": 14,
    "rms_norm_eps": 1e-05,
    "spatial_merge_size": 2,
    "temporal_patch_size": 2,
    "out_hidden_size": 4096,
    "intermediate_size": 13696,
}
"""What `Glm4vVisionConfig` takes for a field that is absent."""
MORE = frozenset(
    [
        "image_start_token_id",
        "image_end_token_id",
        "video_start_token_id",
        "video_end_token_id",
        "partial_rotary_factor",
    ]
)
TEXT: dict[str, Any] = {"rms_norm_eps": 1e-05, "rope_theta": 10000.0, "partial_rotary_factor": 1.0}
"""What transformers' classes of the language models take, beside sizes."""


def read_tower(read: Reader, **others: Any) -> GlmTower:
    """Read a vision_config; `others` are fields of the tower. Raises CheckpointError or UnsupportedArchitecture."""
    return GlmTower(
        **common(read),
        hidden_size=read.size("hidden_size"),
        out_size=read.size("out_hidden_size"),
        names=GATED,
        patch_bias=True,
        rms=True,
        eps=read.number("rms_norm_eps"),
        qkv_bias=bool(read.get("attention_bias")),
        **others,
    )


def language(*, biased: bool, square: bool, **defaults: Any) -> Callable[[Config], Config]:
    """Return what makes GLM-4's config of the whole one.

    Args:
        biased: queries, keys and values have biases.
        square: heads are as wide as the model over their number.
        defaults: what transformers takes for absent fields.
    """
    plain = plain_rope(**TEXT, **defaults)

    def config_of(config: Config) -> Config:
        made = plain(config)
        width, heads = (whole(made.get(name), name) for name in ("hidden_size", "num_attention_heads"))
        stated = made.get("head_dim")
        if square and stated not in (None, width // heads):
            raise contradicting(f"{heads} heads of a model {width} wide are not {stated} wide")
        return {**made, "attention_bias": biased, "head_dim": width // heads if stated is None else stated}

    return config_of


def _described(config: Config, vision_config: Config, decoder: Decoder) -> GridVision:
    read = Reader(vision_config, DEFAULTS, "vision_config.")
    side = read.size("image_size") // read.size("patch_size")
    if not side:
        raise contradicting("vision_config.image_size is smaller than a patch")
    tower = read_tower(
        read, intermediate_size=read.size("out_hidden_size"), context=read.size("intermediate_size"), table=side
    )
    return GridVision.read("glm4v", config, read, tower, decoder)


FAMILY = vision_language(
    "glm4v",
    "Glm4vForConditionalGeneration",
    LanguagePart("glm4", language(biased=True, square=True, num_key_value_heads=2), multi_axis(sections=SECTIONS)),
    VisionPart(
        "glm4v",
        title="GLM-4.1V",
        prefix="model.visual.",
        fields=FIELDS | frozenset(DEFAULTS) | MORE,
        describe=_described,
        mmproj=MMPROJ,
    ),
    gguf=GGUF,
)
