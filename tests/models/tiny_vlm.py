"""Tiny checkpoints of random weights of the image-text-to-text families.

For structure only, like tiny.py. `sample` gives pixels that are ready for the tower; tiny_vlm_files.py has the processors.
"""

from pathlib import Path
from typing import Any

from edgeconv.builtin import model_path

from .tiny_v import _randomize
from .tiny_vlm_files import FILES, VOCABULARY

ROPE = {"rope_type": "default", "rope_theta": 10000.0}
TEXT: dict[str, Any] = {
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "max_position_embeddings": 512,
    "rms_norm_eps": 1e-5,
    "rope_parameters": ROPE,
}
TOWER: dict[str, Any] = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_attention_heads": 2,
    "num_hidden_layers": 3,
    "image_size": 28,
    "patch_size": 14,
}
QWEN: dict[str, Any] = {
    "depth": 4,
    "num_heads": 2,
    "patch_size": 14,
    "spatial_merge_size": 2,
    "temporal_patch_size": 2,
    "in_channels": 3,
}
M_ROPE = ROPE | {"mrope_section": [2, 3, 3]}


def _ids(family: str, **tokens: str) -> dict[str, int]:
    return {field: FILES[family].id(token) for field, token in tokens.items()}


def _qwen_ids(family: str) -> dict[str, int]:
    return _ids(
        family,
        image_token_id="<|image_pad|>",
        video_token_id="<|video_pad|>",
        vision_start_token_id="<|vision_start|>",
        vision_end_token_id="<|vision_end|>",
    )


def _glm(family: str, **text: Any) -> dict[str, Any]:
    return {
        "text_config": TEXT
        | {"rope_parameters": ROPE | {"mrope_section": [2, 3, 3], "partial_rotary_factor": 1.0}}
        | text,
        "vision_config": QWEN | {"hidden_size": 32, "intermediate_size": 96, "out_hidden_size": 64, "image_size": 56},
        **_ids(
            family,
            image_token_id="<|image|>",
            video_token_id="<|video|>",
            video_start_token_id="<|begin_of_video|>",
            video_end_token_id="<|end_of_video|>",
        ),
        "image_start_token_id": 4094,  # of the built-in vocabulary
        "image_end_token_id": 4095,
    }


GEMMA_ROPE = {"sliding_attention": ROPE, "full_attention": ROPE | {"rope_theta": 1_000_000.0}}
FAMILIES: dict[str, dict[str, Any]] = {
    "llava": {
        "text_config": TEXT | {"model_type": "llama"},
        "vision_config": TOWER | {"model_type": "clip_vision_model"},
        **_ids("llava", image_token_id="<image>"),
        "image_seq_length": 4,
    },
    "llava_next": {
        "text_config": TEXT | {"model_type": "mistral", "sliding_window": None},
        "vision_config": TOWER | {"model_type": "clip_vision_model"},
        **_ids("llava_next", image_token_id="<image>"),
        "image_seq_length": 4,
        "image_grid_pinpoints": [[28, 56], [56, 28], [56, 56]],
    },
    "mistral3": {
        "text_config": TEXT | {"model_type": "mistral", "sliding_window": None},
        "vision_config": TOWER | {"model_type": "pixtral", "head_dim": 16, "image_size": 112},
        **_ids("mistral3", image_token_id="[IMG]"),
        "spatial_merge_size": 2,
    },
    "gemma3": {
        "text_config": TEXT
        | {
            "model_type": "gemma3_text",
            "sliding_window": 32,
            "query_pre_attn_scalar": 16,
            "layer_types": ["sliding_attention", "full_attention"],
            "rope_parameters": GEMMA_ROPE,
        },
        "vision_config": TOWER | {"model_type": "siglip_vision_model", "image_size": 56, "vision_use_head": False},
        "mm_tokens_per_image": 4,
        **_ids(
            "gemma3",
            image_token_id="<image_soft_token>",
            image_token_index="<image_soft_token>",
            boi_token_index="<start_of_image>",
            eoi_token_index="<end_of_image>",
        ),
        "tie_word_embeddings": True,
    },
    "qwen2_vl": {
        "text_config": TEXT | {"rope_parameters": M_ROPE},
        "vision_config": QWEN | {"embed_dim": 32, "hidden_size": 64, "mlp_ratio": 2},
        **_qwen_ids("qwen2_vl"),
    },
    "qwen2_5_vl": {
        "text_config": TEXT | {"rope_parameters": M_ROPE},
        "vision_config": QWEN
        | {
            "hidden_size": 32,
            "intermediate_size": 48,
            "out_hidden_size": 64,
            "window_size": 56,
            "fullatt_block_indexes": [1, 3],
        },
        **_qwen_ids("qwen2_5_vl"),
    },
    "qwen3_vl": {
        "text_config": TEXT | {"rope_parameters": M_ROPE, "num_hidden_layers": 3},
        "vision_config": QWEN
        | {
            "hidden_size": 32,
            "intermediate_size": 48,
            "out_hidden_size": 64,
            "patch_size": 16,
            "num_position_embeddings": 16,
            "deepstack_visual_indexes": [0, 2],
        },
        **_qwen_ids("qwen3_vl"),
    },
    "qwen3_5": {
        "text_config": TEXT
        | {
            "rope_parameters": M_ROPE | {"partial_rotary_factor": 1.0, "mrope_interleaved": True},
            "layer_types": ["linear_attention", "full_attention"],
            "linear_key_head_dim": 16,
            "linear_value_head_dim": 16,
            "linear_num_key_heads": 2,
            "linear_num_value_heads": 4,
        },
        "vision_config": QWEN
        | {
            "hidden_size": 32,
            "intermediate_size": 48,
            "out_hidden_size": 64,
            "patch_size": 16,
            "num_position_embeddings": 16,
        },
        **_qwen_ids("qwen3_5"),
    },
    "smolvlm": {
        "text_config": TEXT | {"model_type": "llama"},
        "vision_config": TOWER | {"image_size": 56},
        "scale_factor": 2,
        "pad_token_id": 4084,  # of the built-in vocabulary
        **_ids("smolvlm", image_token_id="<image>"),
    },
    "idefics3": {
        "text_config": TEXT | {"model_type": "llama"},
        "vision_config": TOWER | {"image_size": 56},
        "scale_factor": 2,
        "pad_token_id": 4084,  # of the built-in vocabulary
        **_ids("idefics3", image_token_id="<image>"),
    },
    "internvl": {
        "text_config": TEXT | {"model_type": "qwen2"},
        "vision_config": {
            "model_type": "internvl_vision",
            "hidden_size": 32,
            "intermediate_size": 48,
            "num_attention_heads": 2,
            "num_hidden_layers": 3,
            "attention_bias": True,
            "image_size": [56, 56],
            "patch_size": [14, 14],
            "use_mean_pooling": True,
        },
        "image_seq_length": 4,
        **_ids("internvl", image_token_id="<IMG_CONTEXT>"),
    },
    "glm4v": _glm("glm4v"),
    "glm_ocr": _glm("glm_ocr"),
    "gemma4": {
        "text_config": TEXT
        | {
            "model_type": "gemma4_text",
            "sliding_window": 32,
            "layer_types": ["sliding_attention", "full_attention"],
            "rope_parameters": {
                "sliding_attention": ROPE,
                "full_attention": {"rope_type": "proportional", "rope_theta": 1e6, "partial_rotary_factor": 0.25},
            },
            "global_head_dim": 32,
            "hidden_size_per_layer_input": 8,
            "vocab_size_per_layer_input": VOCABULARY,
        },
        "vision_config": TOWER
        | {
            "model_type": "gemma4_vision",
            "num_key_value_heads": 2,
            "head_dim": 16,
            "pooling_kernel_size": 3,
            "position_embedding_size": 64,
        },
        "audio_config": None,
        **_ids(
            "gemma4",
            image_token_id="<|image|>",
            video_token_id="<|video|>",
            boi_token_id="<|image>",
            eoi_token_id="<image|>",
        ),
        "tie_word_embeddings": True,
    },
}


def make(model_type: str, folder: Path, *, dtype: str = "bfloat16", seed: int = 0, **overrides: Any) -> Path:
    """Write a checkpoint of `model_type` (one of `FAMILIES`) to `folder`, made if absent, and return it.

    `overrides` are fields of the configuration; dicts in it (`text_config`, `vision_config`) are merged.
    """
    import torch
    from transformers import AutoConfig, AutoModelForImageTextToText, GenerationConfig

    folder.mkdir(parents=True, exist_ok=True)
    FILES[model_type].write(folder)
    builtin = AutoConfig.from_pretrained(model_path())
    first = FILES[model_type].begin
    begin = FILES[model_type].id(first) if first else None
    ids = {"eos_token_id": builtin.eos_token_id, "pad_token_id": builtin.pad_token_id, "bos_token_id": begin}
    fields = {"tie_word_embeddings": False, **FAMILIES[model_type]}
    fields["text_config"] = fields["text_config"] | {"vocab_size": VOCABULARY} | ids
    for name, value in overrides.items():
        fields[name] = fields[name] | value if isinstance(value, dict) else value
    fields["text_config"] = {"tie_word_embeddings": fields["tie_word_embeddings"], **fields["text_config"]}
    torch.manual_seed(seed)  # what `_randomize` leaves, a scan's rates, is drawn as the model is built
    model = AutoModelForImageTextToText.from_config(AutoConfig.for_model(model_type, **fields))
    _randomize(model, seed)
    model.to(getattr(torch, dtype))
    model.generation_config = GenerationConfig(**{k: v for k, v in ids.items() if v is not None})
    model.save_pretrained(folder)
    return folder


def sample(model_type: str, seed: int = 0) -> dict[str, Any]:
    """Return a prompt with one picture: the tensors that transformers' model of the family takes."""
    import torch

    random = torch.Generator().manual_seed(seed)

    def noise(*shape: int) -> Any:
        return torch.randn(shape, generator=random)

    inputs: dict[str, Any]
    fields = FAMILIES[model_type]
    if "temporal_patch_size" in fields["vision_config"]:
        rows, columns = 4, 6
        inputs = {
            "pixel_values": noise(rows * columns, 3 * 2 * fields["vision_config"]["patch_size"] ** 2),
            "image_grid_thw": torch.tensor([[1, rows, columns]]),
        }
        tokens = rows * columns // 4
    elif model_type == "llava":
        inputs, tokens = {"pixel_values": noise(1, 3, 28, 28)}, 4
    elif model_type == "llava_next":
        # 1 + 4 tiles: 4 rows of the whole picture, 4 x 4 of the tiles, and an end of line each
        inputs = {"pixel_values": noise(1, 5, 3, 28, 28), "image_sizes": torch.tensor([[56, 56]])}
        tokens = 4 + 4 * (4 + 1)
    elif model_type == "mistral3":
        inputs = {"pixel_values": noise(1, 3, 56, 56), "image_sizes": torch.tensor([[56, 56]])}
        tokens = 4
    elif model_type == "gemma3":
        inputs, tokens = {"pixel_values": noise(1, 3, 56, 56)}, 4
    elif model_type == "internvl":
        inputs, tokens = {"pixel_values": noise(3, 3, 56, 56)}, 12
    elif model_type == "gemma4":
        grid = torch.stack(torch.meshgrid(torch.arange(6), torch.arange(6), indexing="xy"), -1).reshape(1, 36, 2)
        inputs, tokens = {"pixel_values": noise(1, 36, 3 * 14 * 14), "image_position_ids": grid}, 4
    else:
        inputs = {
            "pixel_values": noise(1, 1, 3, 56, 56),
            "pixel_attention_mask": torch.ones(1, 1, 56, 56, dtype=torch.long),
        }
        tokens = 4
    before, after = torch.randint(20, 4000, (5,), generator=random), torch.randint(20, 4000, (7,), generator=random)
    start, end = _around(model_type)
    picture = [*start, *[fields["image_token_id"]] * tokens, *end]
    ids = torch.tensor([[*before.tolist(), *picture, *after.tolist()]])
    inputs |= {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    if model_type == "gemma3":
        inputs["token_type_ids"] = (ids == fields["image_token_id"]).long()
    if "temporal_patch_size" in fields["vision_config"] or model_type == "gemma4":
        inputs["mm_token_type_ids"] = (ids == fields["image_token_id"]).int()
    return inputs


def _around(model_type: str) -> tuple[list[int], list[int]]:
    """Return what stands before and behind a picture's rows, as config.json names it."""
    fields = FAMILIES[model_type]
    starts = ("vision_start_token_id", "image_start_token_id", "boi_token_id", "boi_token_index")
    ends = ("vision_end_token_id", "image_end_token_id", "eoi_token_id", "eoi_token_index")
    return [fields[name] for name in starts if name in fields], [fields[name] for name in ends if name in fields]
