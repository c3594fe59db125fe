import json

import pytest
import torch
from transformers import AutoConfig

from edgeconv.convert.families.glm_edge_v_model import read_config, register
from edgeconv.convert.families.glm_edge_v_model.configuration import GlmEdgeVConfig
from edgeconv.convert.families.glm_edge_v_model.facts import check_placeholders, image_tokens, is_glm_edge_v
from edgeconv.convert.families.glm_edge_v_model.modeling import GlmEdgeVForConditionalGeneration
from edgeconv.core.errors import CheckpointError, UsageError

# The geometry of glm-edge-v-2b.
V_2B = {
    "model_type": "glm",
    "architectures": ["GlmForCausalLM"],
    "auto_map": {"AutoModelForCausalLM": "modeling_glm.GlmForCausalLM"},
    "hidden_size": 2048,
    "intermediate_size": 6144,
    "num_hidden_layers": 28,
    "num_attention_heads": 16,
    "num_key_value_heads": 4,
    "head_dim": 128,
    "vocab_size": 59264,
    "attention_bias": False,
    "tie_word_embeddings": False,
    "rms_norm_eps": 1e-5,
    "rope_theta": 10000.0,
    "partial_rotary_factor": 1.0,
    "max_position_embeddings": 8192,
    "pad_token_id": 59246,
    "eos_token_id": [59246, 59253, 59255],
    "boi_token_id": 59256,
    "eoi_token_id": 59257,
    "vision_config": {
        "hidden_size": 1152,
        "image_size": 672,
        "intermediate_size": 4304,
        "model_type": "siglip_vision_model",
        "num_attention_heads": 16,
        "num_hidden_layers": 27,
        "patch_size": 14,
        "torch_dtype": "bfloat16",
    },
}


def test_everything_stated_is_read(folder):
    stated = json.loads((folder / "config.json").read_text())
    changed = stated | {"partial_rotary_factor": 0.5, "rope_theta": 5000.0, "rms_norm_eps": 1e-6, "boi_token_id": 7}
    changed["vision_config"] = stated["vision_config"] | {"image_size": 84, "layer_norm_eps": 1e-4}
    config = GlmEdgeVConfig.from_checkpoint(changed)
    assert config.rope_parameters == {"rope_type": "default", "rope_theta": 5000.0, "partial_rotary_factor": 0.5}
    assert (config.rms_norm_eps, config.boi_token_id, config.vision_config.layer_norm_eps) == (1e-6, 7, 1e-4)
    assert config.image_tokens == 3 * 3 + 2
    assert not hasattr(config, "auto_map")


def test_image_tokens_are_computed():
    assert image_tokens(672, 14) == 578
    assert GlmEdgeVConfig.from_checkpoint(V_2B).image_tokens == 578


def test_the_sizes_of_v_2b_are_those_of_the_published_files():
    """The payloads of `ggml-model-*.gguf` and `mmproj-model-f16.gguf` in THUDM/glm-edge-v-2b-gguf follow from them."""
    with torch.device("meta"):
        model = GlmEdgeVForConditionalGeneration(GlmEdgeVConfig.from_checkpoint(V_2B))
    vision = {name: p for name, p in model.named_parameters() if name.startswith("model.vision.")}
    assert sum(p.numel() for p in model.parameters()) - sum(p.numel() for p in vision.values()) == 1_593_427_968
    assert len(vision) == 447
    matrices = [p for name, p in vision.items() if p.ndim > 1 and not name.endswith("oi")]
    assert len(matrices) == 169  # stored as float16 there, the others as float32
    assert sum(p.numel() * 4 for p in vision.values()) - sum(p.numel() * 2 for p in matrices) == 933_203_904


@pytest.mark.parametrize("absent", ["vision_config", "boi_token_id"])
def test_a_config_without_eyes_is_refused(absent):
    config = {name: value for name, value in V_2B.items() if name != absent}
    with pytest.raises(CheckpointError, match=r"missing") as caught:
        GlmEdgeVConfig.from_checkpoint(config)
    assert caught.value.hint


def test_another_family_is_refused(tmp_path):
    with pytest.raises(CheckpointError, match="llama"):
        GlmEdgeVConfig.from_checkpoint(V_2B | {"model_type": "llama"})
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(CheckpointError, match=r"config\.json"):
        read_config(tmp_path)


def test_it_is_recognized_by_its_tensors():
    text = ["model.embed_tokens.weight", "lm_head.weight"]
    assert is_glm_edge_v(V_2B, [*text, "model.vision.adapter.boi"])
    assert not is_glm_edge_v(V_2B, text)  # a vision_config alone promises nothing
    assert not is_glm_edge_v({"model_type": "chatglm"}, ["model.vision.adapter.boi"])


def test_saved_configuration_is_read_by_the_auto_class(folder, tmp_path):
    register()
    register()
    config = read_config(folder)
    config.save_pretrained(tmp_path)
    again = AutoConfig.from_pretrained(tmp_path)
    assert type(again) is GlmEdgeVConfig
    assert again.vision_config.to_dict() == config.vision_config.to_dict()
    assert again.rope_parameters == config.rope_parameters


@pytest.mark.parametrize(("counts", "pictures"), [([6], 0), ([5], 1), ([7], 1), ([6, 6], 1), ([12], 1), ([3, 9], 2)])
def test_placeholders_that_do_not_fit(counts, pictures):
    with pytest.raises(UsageError, match=f"{pictures} x 6 = {6 * pictures}") as caught:
        check_placeholders(counts, 6, pictures)
    assert "6 times" in caught.value.hint


def test_placeholders_that_fit():
    for counts, pictures in (([0], 0), ([6], 1), ([12, 0, 6], 3)):
        check_placeholders(counts, 6, pictures)
