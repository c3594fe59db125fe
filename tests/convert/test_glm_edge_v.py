"""What is read of GLM-Edge-V's vision half, against transformers' and our own classes, and how it is recognized."""

from __future__ import annotations

from typing import Any

import pytest

from edgeconv.convert import families
from edgeconv.convert.families.glm_edge_v import DEFAULTS, GLM_EDGE_V_INT4, GlmEdgeVision
from edgeconv.convert.openvino.choose import choose
from edgeconv.core.errors import CheckpointError

SEEN = ["model.embed_tokens.weight", "model.vision.adapter.boi"]
TOWER = {"hidden_size": 32, "image_size": 56, "num_attention_heads": 2, "num_hidden_layers": 2, "patch_size": 14}
CONFIG: dict[str, Any] = {
    "model_type": "glm", "vocab_size": 100, "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 1,
    "num_attention_heads": 4, "attention_bias": False, "boi_token_id": 96, "vision_config": TOWER,
}  # fmt: skip


def vision(config: dict[str, Any], names: list[str] | None = None) -> GlmEdgeVision | None:
    return families.vision(config, SEEN if names is None else names, families.decoder(config))


def with_tower(**fields: Any) -> dict[str, Any]:
    tower = {k: v for k, v in (TOWER | fields).items() if v is not None}
    return CONFIG | {"vision_config": tower}


def test_defaults_are_those_of_transformers() -> None:
    from transformers import SiglipVisionConfig

    config = SiglipVisionConfig()
    assert {key: getattr(config, key) for key in DEFAULTS} == DEFAULTS


def test_tensors_are_those_of_the_model() -> None:
    import torch

    from edgeconv.convert.families.glm_edge_v_model.configuration import GlmEdgeVConfig
    from edgeconv.convert.families.glm_edge_v_model.modeling import GlmEdgeVForConditionalGeneration

    config = with_tower(image_size=90, hidden_size=48, num_channels=1) | {"pad_token_id": 0}
    with torch.device("meta"):
        model = GlmEdgeVForConditionalGeneration(GlmEdgeVConfig.from_checkpoint(config))
    described = vision(config)
    assert described
    expected = {name: tuple(p.shape) for name, p in model.named_parameters()}
    assert described.tensors() | families.decoder(config).tensors() == expected
    assert described.image_tokens == model.config.image_tokens == 11


def test_the_published_geometry() -> None:
    """GLM-Edge-V-2B: 578 rows a picture; 447 tensors, whose sizes are those of the published mmproj GGUF.

    Its payload of 933,203,904 bytes holds float32 for what has one dimension and for begin and end, float16 for the rest.
    """
    import math

    tower = {"hidden_size": 1152, "image_size": 672, "intermediate_size": 4304, "num_attention_heads": 16,
             "num_hidden_layers": 27, "patch_size": 14}  # fmt: skip
    config = CONFIG | {
        "hidden_size": 2048,
        "intermediate_size": 6144,
        "num_attention_heads": 16,
        "vision_config": tower,
    }
    described = vision(config)
    assert described
    shapes = described.tensors()
    assert len(shapes) == 447
    assert sum(map(math.prod, shapes.values())) == 466_192_112
    assert sum(math.prod(s) * (4 if len(s) in (1, 3) else 2) for s in shapes.values()) == 933_203_904
    assert described.image_tokens == 578


def test_what_is_left_out_is_assumed() -> None:
    described = vision(with_tower(layer_norm_eps=1e-5, num_channels=3))
    assert described
    assert any(s.startswith("vision_config.intermediate_size = 3072") for s in described.assumed)
    assert not any("layer_norm_eps" in s for s in described.assumed)
    assert any("adapter's GELU" in s for s in described.assumed)


def test_it_is_the_tensors_that_tell() -> None:
    text = {k: v for k, v in CONFIG.items() if k != "vision_config"}
    assert vision(text, ["model.embed_tokens.weight"]) is None
    assert choose(CONFIG, names=SEEN).vision
    assert choose(text, names=["model.embed_tokens.weight"]).vision is None
    assert families.int4_default(CONFIG, vision(CONFIG)) == GLM_EDGE_V_INT4
    assert families.int4_default(text) != GLM_EDGE_V_INT4


def test_our_own_model_type_is_read_alike() -> None:
    config = CONFIG | {"model_type": "glm_edge_v"}
    assert families.is_native(config)
    assert vision(config) == vision(CONFIG)
    with pytest.raises(CheckpointError, match=r"no tensor's name begins with model\.vision\."):
        choose(config, names=["model.embed_tokens.weight"])


def test_a_tower_in_the_config_alone_is_an_error() -> None:
    with pytest.raises(CheckpointError, match="no tensor's name begins") as caught:
        choose(CONFIG, names=["model.embed_tokens.weight"])
    assert "take vision_config out" in caught.value.hint


WRONG = {
    "no description": ({k: v for k, v in CONFIG.items() if k != "vision_config"}, "has no vision_config"),
    "a list": (CONFIG | {"vision_config": []}, "has no vision_config"),
    "no placeholder": ({k: v for k, v in CONFIG.items() if k != "boi_token_id"}, "does not state boi_token_id"),
    "a placeholder beyond the vocabulary": (CONFIG | {"boi_token_id": 100}, "boi_token_id is 100"),
    "a size left out": (with_tower(image_size=None), r"does not state vision_config\.image_size"),
    "a size of nothing": (with_tower(patch_size=0), r"vision_config\.patch_size is 0"),
    "a size in words": (with_tower(num_hidden_layers="27"), r"vision_config\.num_hidden_layers is '27'"),
    "heads that do not divide": (with_tower(num_attention_heads=3), "a tower 32 wide with 3 heads"),
    "one patch": (with_tower(image_size=14), "1 x 1 patches"),
    "an activation": (with_tower(hidden_act="relu6"), "the activation relu6"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_cannot_be_is_refused(name: str) -> None:
    config, message = WRONG[name]
    with pytest.raises(CheckpointError, match=message):
        vision(config)


def test_a_language_half_that_no_engine_builds_is_no_text_model_either() -> None:
    with pytest.raises(CheckpointError, match=r"No engine can convert this GLM-Edge-V: .*relu2"):
        choose(CONFIG | {"hidden_act": "relu2"}, names=SEEN)
