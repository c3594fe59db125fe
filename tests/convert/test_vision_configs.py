"""What config.json states of pictures: published configs against transformers' own model, and odd values."""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Iterator
from typing import Any

import pytest

from edgeconv.convert import families, multimodal
from edgeconv.convert.families import registry
from edgeconv.convert.program.reading import UnsupportedArchitecture
from edgeconv.convert.program.vision import Vision
from edgeconv.core.errors import EdgeconvError

from ..models import tiny_vlm

TYPES = sorted(one.model_type for one in registry.every() if one.language)
ODD = (
    None, "x", "", -1, 0, 1, 3, 1.5, math.nan, math.inf, [], [1], ["x"], [14, 14], {}, {"a": 1}, True, 10**400, 2**31 - 1,
)  # fmt: skip
CLIP = {
    "model_type": "clip_vision_model", "hidden_size": 1024, "intermediate_size": 4096, "num_hidden_layers": 24,
    "num_attention_heads": 16, "image_size": 336, "patch_size": 14, "projection_dim": 768,
}  # fmt: skip
QWEN_ROPE = {"rope_type": "default", "rope_theta": 1e6, "mrope_section": [16, 24, 24]}
PUBLISHED: dict[str, dict[str, Any]] = {
    "google/gemma-3-4b-it": {
        "model_type": "gemma3",
        "text_config": {
            "hidden_size": 2560, "intermediate_size": 10240, "num_hidden_layers": 34, "sliding_window": 1024,
            "num_attention_heads": 8, "num_key_value_heads": 4, "head_dim": 256,
        },
        "vision_config": {
            "hidden_size": 1152, "image_size": 896, "intermediate_size": 4304, "num_attention_heads": 16,
            "num_hidden_layers": 27, "patch_size": 14, "vision_use_head": False,
        },
        "tie_word_embeddings": True,
    },
    "OpenGVLab/InternVL3-1B-hf": {
        "model_type": "internvl",
        "text_config": {
            "model_type": "qwen2", "hidden_size": 896, "intermediate_size": 4864, "num_hidden_layers": 24,
            "num_attention_heads": 14, "num_key_value_heads": 2, "vocab_size": 151674, "max_position_embeddings": 32768,
            "rope_parameters": {"rope_type": "default", "rope_theta": 1000000.0}, "tie_word_embeddings": False,
        },
        "vision_config": {"attention_bias": True, "image_size": [448, 448], "patch_size": [14, 14]},
        "image_token_id": 151667, "tie_word_embeddings": False,
    },
    "llava-hf/llava-1.5-7b-hf": {
        "model_type": "llava",
        "text_config": {"model_type": "llama", "vocab_size": 32064},
        "vision_config": CLIP,
        "image_token_index": 32000, "image_token_id": 32000, "tie_word_embeddings": False,
    },
    "llava-hf/llava-v1.6-mistral-7b-hf": {
        "model_type": "llava_next",
        "text_config": {"model_type": "mistral", "vocab_size": 32064, "sliding_window": None},
        "vision_config": CLIP,
        "image_token_index": 32000, "image_token_id": 32000, "tie_word_embeddings": False,
    },
    "Qwen/Qwen2-VL-2B-Instruct": {
        "model_type": "qwen2_vl",
        "text_config": {
            "hidden_size": 1536, "intermediate_size": 8960, "num_hidden_layers": 28, "num_attention_heads": 12,
            "num_key_value_heads": 2, "vocab_size": 151936, "rope_parameters": QWEN_ROPE, "tie_word_embeddings": True,
        },
        "vision_config": {"hidden_size": 1536}, "tie_word_embeddings": True,
    },
    "Qwen/Qwen2.5-VL-3B-Instruct": {
        "model_type": "qwen2_5_vl",
        "text_config": {
            "hidden_size": 2048, "intermediate_size": 11008, "num_hidden_layers": 36, "num_attention_heads": 16,
            "num_key_value_heads": 2, "vocab_size": 151936, "rope_parameters": QWEN_ROPE, "tie_word_embeddings": True,
        },
        "vision_config": {"hidden_size": 1280, "intermediate_size": 3420, "out_hidden_size": 2048},
        "tie_word_embeddings": True,
    },
    "Qwen/Qwen3-VL-2B-Instruct": {
        "model_type": "qwen3_vl",
        "text_config": {
            "hidden_size": 2048, "intermediate_size": 6144, "num_hidden_layers": 28, "num_attention_heads": 16,
            "num_key_value_heads": 8, "vocab_size": 151936, "tie_word_embeddings": True,
            "rope_parameters": {"rope_type": "default", "rope_theta": 5e6, "mrope_section": [24, 20, 20],
                                "mrope_interleaved": True},
        },
        "vision_config": {
            "depth": 24, "hidden_size": 1024, "intermediate_size": 4096, "out_hidden_size": 2048,
            "deepstack_visual_indexes": [5, 11, 17],
        },
        "tie_word_embeddings": True,
    },
    "Qwen/Qwen3.5 of transformers' defaults": {"model_type": "qwen3_5", "vision_config": {"out_hidden_size": 4096}},
    "HuggingFaceTB/SmolVLM2-500M-Video-Instruct": {
        "model_type": "smolvlm",
        "text_config": {
            "model_type": "llama", "hidden_size": 960, "intermediate_size": 2560, "num_hidden_layers": 32,
            "num_attention_heads": 15, "num_key_value_heads": 5, "head_dim": 64, "vocab_size": 49280, "rms_norm_eps": 1e-5,
        },
        "vision_config": {
            "hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12, "num_attention_heads": 12,
            "image_size": 512, "patch_size": 16,
        },
        "image_token_id": 49190, "scale_factor": 4, "tie_word_embeddings": False,
    },
    "HuggingFaceM4/Idefics3-8B-Llama3": {
        "model_type": "idefics3",
        "text_config": {
            "model_type": "llama", "hidden_size": 4096, "intermediate_size": 14336, "num_hidden_layers": 32,
            "num_attention_heads": 32, "num_key_value_heads": 8, "vocab_size": 128259, "rms_norm_eps": 1e-5,
        },
        "vision_config": {
            "hidden_size": 1152, "intermediate_size": 4304, "num_hidden_layers": 27, "num_attention_heads": 16,
            "image_size": 364, "patch_size": 14,
        },
        "image_token_id": 128257, "scale_factor": 2, "tie_word_embeddings": False,
    },
    "zai-org/GLM-4.6V-Flash": {
        "model_type": "glm4v",
        "text_config": {
            "hidden_size": 4096, "intermediate_size": 13696, "num_hidden_layers": 40, "num_attention_heads": 32,
            "num_key_value_heads": 2, "vocab_size": 151552, "max_position_embeddings": 131072,
            "rope_parameters": {
                "rope_type": "default", "rope_theta": 500000.0, "partial_rotary_factor": 0.5, "mrope_section": [8, 12, 12],
            },
        },
        "vision_config": {"depth": 24, "hidden_size": 1536, "num_heads": 12, "out_hidden_size": 4096},
        "image_token_id": 151363,
    },
    "zai-org/GLM-OCR": {
        "model_type": "glm_ocr",
        "text_config": {
            "hidden_size": 1536, "intermediate_size": 4608, "num_hidden_layers": 16, "num_attention_heads": 16,
            "num_key_value_heads": 8, "head_dim": 128, "vocab_size": 59392,
            "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [16, 24, 24]},
        },
        "vision_config": {"depth": 24, "hidden_size": 1024, "num_heads": 16, "out_hidden_size": 1536},
        "image_token_id": 59280,
    },
    "mistralai/Mistral-Small-3.1-24B-Instruct-2503": {
        "model_type": "mistral3",
        "text_config": {
            "model_type": "mistral", "hidden_size": 5120, "intermediate_size": 32768, "num_hidden_layers": 40,
            "num_attention_heads": 32, "num_key_value_heads": 8, "head_dim": 128, "vocab_size": 131072,
            "max_position_embeddings": 131072, "rms_norm_eps": 1e-5, "sliding_window": None,
            "rope_parameters": {"rope_type": "default", "rope_theta": 1000000000.0}, "tie_word_embeddings": False,
        },
        "vision_config": {"model_type": "pixtral", "image_size": 1540, "patch_size": 14, "head_dim": 64},
        "image_token_index": 10, "tie_word_embeddings": False,
    },
    "mistralai/Ministral-3-3B-Instruct-2512-BF16": {
        "model_type": "mistral3",
        "text_config": {
            "model_type": "ministral3", "hidden_size": 3072, "intermediate_size": 9216, "num_hidden_layers": 26,
            "num_attention_heads": 32, "num_key_value_heads": 8, "head_dim": 128, "vocab_size": 131072,
            "max_position_embeddings": 262144, "rms_norm_eps": 1e-5, "tie_word_embeddings": True,
        },
        "vision_config": {"model_type": "pixtral", "image_size": 1540, "patch_size": 14, "head_dim": 64},
        "image_token_index": 10, "tie_word_embeddings": True,
    },
}  # fmt: skip
"""By their names on the Hub, as far as they differ from transformers' defaults."""


def opened(config: dict[str, Any], names: set[str]) -> tuple[dict[str, tuple[int, ...]], Vision]:
    """All tensors that a conversion reads of a checkpoint, in the form of `multimodal`, and the vision part."""
    flat = multimodal.flat(config)
    decoder = families.decoder(flat)
    vision = families.vision(flat, names, decoder)
    assert vision
    return decoder.tensors() | vision.tensors(), vision


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_published_config_promises_the_tensors_that_transformers_has(name: str) -> None:
    import fnmatch

    import torch
    from transformers import AutoConfig, AutoModelForImageTextToText

    stated = copy.deepcopy(PUBLISHED[name])
    config = AutoConfig.for_model(stated.pop("model_type"), **stated)
    with torch.device("meta"):
        model = AutoModelForImageTextToText.from_config(config)
    held = {multimodal.named(name): tuple(one.shape) for name, one in model.named_parameters()}
    if config.tie_word_embeddings:
        held.pop("lm_head.weight", None)
    found, vision = opened(json.loads(config.to_json_string(use_diff=False)), set(held))
    left = {name for name in held if any(fnmatch.fnmatch(name, pattern) for pattern in vision.unused)}
    assert found == {name: shape for name, shape in held.items() if name not in left}


def odd_configs(config: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each field of it and of its vision_config with each odd value."""
    for inside in (None, "vision_config"):
        for field in config[inside] if inside else config:
            if field in ("model_type", "text_config", "vision_config"):
                continue
            for value in ODD:
                made = copy.deepcopy(config)
                (made[inside] if inside else made)[field] = value
                yield f"{inside or ''}.{field} = {value!r}"[:60], made


@pytest.mark.parametrize("model_type", TYPES)
def test_an_odd_value_is_described_or_refused_with_a_sentence(model_type: str) -> None:
    """Whatever it is: no other error, and tensors and graphs of what is described can be named."""
    from transformers import AutoConfig

    whole = tiny_vlm.FAMILIES[model_type]
    fields = whole | {"text_config": whole["text_config"] | {"vocab_size": 4160}}
    config = json.loads(AutoConfig.for_model(model_type, **copy.deepcopy(fields)).to_json_string(use_diff=False))
    part = families.vision_part(model_type)
    assert part
    names = {part.prefix if isinstance(part.prefix, str) else part.prefix[0]}
    assert opened(config, names)[0]
    refused = 0
    for what, odd in odd_configs(config):
        try:
            found, vision = opened(odd, names)
            assert all(size > 0 for shape in found.values() for size in shape), what
            assert [graph.name for graph in vision.graphs()], what
        except (EdgeconvError, UnsupportedArchitecture) as error:
            refused += 1
            assert str(error), what
        except Exception as error:
            raise AssertionError(f"{what}: {error!r}") from error
    assert refused > len(ODD)


def test_every_family_with_pictures_has_a_published_config() -> None:
    """A family that joins brings its own."""
    assert set(TYPES) == {one["model_type"] for one in PUBLISHED.values()}
