"""Tiny checkpoints of random weights of the image-text-to-text families that the trace engine takes.

For structure only, like tiny.py. Their pictures are given as pixels that are ready for the tower (`sample`).
"""

import json
import shutil
from pathlib import Path
from typing import Any

from edgeconv.builtin import model_path

from .tiny_v import _randomize

IMAGE_ID, VISION_START_ID, VISION_END_ID, VIDEO_ID = 4, 5, 6, 7
"""Tokens of the built-in vocabulary that stand for pictures here."""
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
    "depth": 2,
    "num_heads": 2,
    "patch_size": 14,
    "spatial_merge_size": 2,
    "temporal_patch_size": 2,
    "in_channels": 3,
    "image_token_id": IMAGE_ID,
}
M_ROPE = ROPE | {"mrope_section": [2, 3, 3]}
QWEN_IDS = {
    "image_token_id": IMAGE_ID,
    "video_token_id": VIDEO_ID,
    "vision_start_token_id": VISION_START_ID,
    "vision_end_token_id": VISION_END_ID,
}
FAMILIES: dict[str, dict[str, Any]] = {
    "llava": {
        "text_config": TEXT | {"model_type": "llama"},
        "vision_config": TOWER | {"model_type": "clip_vision_model"},
        "image_token_id": IMAGE_ID,
        "image_seq_length": 4,
    },
    "llava_next": {
        "text_config": TEXT | {"model_type": "mistral", "sliding_window": None},
        "vision_config": TOWER | {"model_type": "clip_vision_model"},
        "image_token_id": IMAGE_ID,
        "image_seq_length": 4,
        "image_grid_pinpoints": [[28, 56], [56, 28], [56, 56]],
    },
    "mistral3": {
        "text_config": TEXT | {"model_type": "mistral", "sliding_window": None},
        "vision_config": TOWER | {"model_type": "pixtral", "head_dim": 16, "image_size": 56},
        "image_token_id": IMAGE_ID,
        "spatial_merge_size": 2,
    },
    "gemma3": {
        "text_config": TEXT
        | {
            "model_type": "gemma3_text",
            "sliding_window": 32,
            "query_pre_attn_scalar": 16,
            "layer_types": ["sliding_attention", "full_attention"],
            "rope_parameters": {"sliding_attention": ROPE, "full_attention": ROPE | {"rope_theta": 1_000_000.0}},
        },
        "vision_config": TOWER | {"model_type": "siglip_vision_model", "image_size": 56, "vision_use_head": False},
        "mm_tokens_per_image": 4,
        "image_token_id": IMAGE_ID,
        "image_token_index": IMAGE_ID,
        "boi_token_index": VISION_START_ID,
        "eoi_token_index": VISION_END_ID,
        "tie_word_embeddings": True,
    },
    "qwen2_vl": {
        "text_config": TEXT | {"rope_parameters": M_ROPE},
        "vision_config": QWEN | {"embed_dim": 32, "hidden_size": 64, "mlp_ratio": 2},
        **QWEN_IDS,
    },
    "qwen2_5_vl": {
        "text_config": TEXT | {"rope_parameters": M_ROPE},
        "vision_config": QWEN
        | {
            "hidden_size": 32,
            "intermediate_size": 48,
            "out_hidden_size": 64,
            "window_size": 56,
            "fullatt_block_indexes": [1],
        },
        **QWEN_IDS,
    },
    "qwen3_vl": {
        "text_config": TEXT | {"rope_parameters": M_ROPE},
        "vision_config": QWEN
        | {
            "hidden_size": 32,
            "intermediate_size": 48,
            "out_hidden_size": 64,
            "num_position_embeddings": 16,
            "deepstack_visual_indexes": [0],
        },
        **QWEN_IDS,
    },
    "smolvlm": {
        "text_config": TEXT | {"model_type": "llama"},
        "vision_config": TOWER | {"image_size": 56},
        "scale_factor": 2,
        "image_token_id": IMAGE_ID,
    },
    "idefics3": {
        "text_config": TEXT | {"model_type": "llama"},
        "vision_config": TOWER | {"image_size": 56},
        "scale_factor": 2,
        "image_token_id": IMAGE_ID,
    },
}


def make(model_type: str, folder: Path, *, dtype: str = "bfloat16", seed: int = 0, **overrides: Any) -> Path:
    """Write a checkpoint of `model_type` (one of `FAMILIES`) to `folder`, made if absent, and return it.

    `overrides` are fields of the configuration; dicts in it (`text_config`, `vision_config`) are merged.
    """
    import torch
    from transformers import AutoConfig, AutoModelForImageTextToText, GenerationConfig

    folder.mkdir(parents=True, exist_ok=True)
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        shutil.copyfile(model_path() / name, folder / name)
    builtin = AutoConfig.from_pretrained(model_path())
    ids = {"eos_token_id": builtin.eos_token_id, "pad_token_id": builtin.pad_token_id, "bos_token_id": None}
    fields = {"tie_word_embeddings": False, **FAMILIES[model_type]}
    fields["text_config"] = fields["text_config"] | {"vocab_size": builtin.vocab_size} | ids
    for name, value in overrides.items():
        fields[name] = fields[name] | value if isinstance(value, dict) else value
    fields["text_config"] = {"tie_word_embeddings": fields["tie_word_embeddings"], **fields["text_config"]}
    model = AutoModelForImageTextToText.from_config(AutoConfig.for_model(model_type, **fields))
    _randomize(model, seed)
    model.to(getattr(torch, dtype))
    model.generation_config = GenerationConfig(**{k: v for k, v in ids.items() if v is not None})
    model.save_pretrained(folder)
    (folder / "preprocessor_config.json").write_text(json.dumps({"do_resize": False}) + "\n", encoding="utf-8")
    return folder


def sample(model_type: str, seed: int = 0) -> dict[str, Any]:
    """Return a prompt with one picture: the tensors that transformers' model of the family takes."""
    import torch

    random = torch.Generator().manual_seed(seed)

    def noise(*shape: int) -> Any:
        return torch.randn(shape, generator=random)

    inputs: dict[str, Any]
    if model_type.startswith("qwen"):
        rows, columns = 4, 6
        inputs = {
            "pixel_values": noise(rows * columns, 3 * 2 * 14 * 14),
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
    else:
        inputs = {
            "pixel_values": noise(1, 1, 3, 56, 56),
            "pixel_attention_mask": torch.ones(1, 1, 56, 56, dtype=torch.long),
        }
        tokens = 4
    before, after = torch.randint(20, 4000, (5,), generator=random), torch.randint(20, 4000, (7,), generator=random)
    picture = [VISION_START_ID, *[IMAGE_ID] * tokens, VISION_END_ID]
    ids = torch.tensor([[*before.tolist(), *picture, *after.tolist()]])
    inputs |= {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    if model_type == "gemma3":
        inputs["token_type_ids"] = (ids == IMAGE_ID).long()
    if model_type.startswith("qwen"):
        inputs["mm_token_type_ids"] = (ids == IMAGE_ID).int()
    return inputs
