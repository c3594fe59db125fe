"""Tiny checkpoints with a vision part for each projector type of llama.cpp, under the Hub's names, ready for its converter too.

Their towers have what the real ones have: several layers, windows, layers whose rows are added, tiles, two frames.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from edgeconv.builtin import model_path
from edgeconv.convert import multimodal
from edgeconv.convert.base_names import with_names
from edgeconv.convert.checkpoint import Checkpoint
from edgeconv.convert.families import (
    gemma3_vision_gguf,
    glm4v_gguf,
    idefics3_gguf,
    internvl_gguf,
    llava_gguf,
    mistral3_gguf,
    qwen2_5_vl_gguf,
    qwen2_vl_gguf,
    qwen3_vl_gguf,
)
from edgeconv.convert.open_checkpoint import open_checkpoint
from edgeconv.convert.program.mmproj_spec import Mmproj

from ...models.tiny_v import _randomize

HIDDEN = 64
MEAN, STD = [0.48, 0.46, 0.41], [0.27, 0.26, 0.28]
TOKENS = {
    "[MASK]": "<|vision_start|>", "[gMASK]": "<|vision_end|>", "[sMASK]": "[IMG_BREAK]", "<sop>": "[IMG_END]",
    "<eop>": "<fake_token_around_image>", "<|observation|>": "<global-img>",
}  # fmt: skip
"""Tokens of the built-in vocabulary, and those of other models that stand in their places here."""
_ROPE = {"rope_type": "default", "rope_theta": 10000.0}
_M_ROPE = _ROPE | {"mrope_section": [2, 3, 3]}
_TEXT: dict[str, Any] = {
    "hidden_size": HIDDEN, "intermediate_size": 96, "num_hidden_layers": 1, "num_attention_heads": 4,
    "num_key_value_heads": 2, "head_dim": 16, "max_position_embeddings": 512, "rms_norm_eps": 1e-6, "rope_parameters": _ROPE,
    "bos_token_id": None, "pad_token_id": None, "eos_token_id": 0,
}  # fmt: skip
_TOWER: dict[str, Any] = {
    "hidden_size": 32, "intermediate_size": 48, "num_attention_heads": 2, "num_hidden_layers": 4, "image_size": 56,
    "patch_size": 14,
}  # fmt: skip
_GRID: dict[str, Any] = {
    "depth": 4, "num_heads": 2, "patch_size": 14, "spatial_merge_size": 2, "temporal_patch_size": 2, "in_channels": 3,
}  # fmt: skip
_IDS = {"image_token_id": 4, "video_token_id": 7, "vision_start_token_id": 5, "vision_end_token_id": 6}
_GLM = _GRID | {"hidden_size": 32, "intermediate_size": 48, "out_hidden_size": HIDDEN, "image_size": 56}
FAMILIES: dict[str, tuple[Mmproj, dict[str, Any]]] = {
    "gemma3": (
        gemma3_vision_gguf.MMPROJ,
        {
            "text_config": _TEXT | {"model_type": "gemma3_text", "rope_parameters": None},
            "vision_config": _TOWER | {"model_type": "siglip_vision_model", "vision_use_head": False},
            "mm_tokens_per_image": 4,
        },
    ),
    "qwen2_vl": (
        qwen2_vl_gguf.MMPROJ,
        {
            "text_config": _TEXT | {"rope_parameters": _M_ROPE},
            "vision_config": _GRID | {"embed_dim": 32, "hidden_size": HIDDEN, "mlp_ratio": 2},
            **_IDS,
        },
    ),
    "qwen2_5_vl": (
        qwen2_5_vl_gguf.MMPROJ,
        {
            "text_config": _TEXT | {"rope_parameters": _M_ROPE},
            "vision_config": _GRID
            | {
                "hidden_size": 32, "intermediate_size": 48, "out_hidden_size": HIDDEN, "window_size": 112,
                "fullatt_block_indexes": [1, 3],
            },
            **_IDS,
        },
    ),
    "qwen3_vl": (
        qwen3_vl_gguf.MMPROJ,
        {
            "text_config": _TEXT | {"rope_parameters": _M_ROPE},
            "vision_config": _GRID
            | {
                "hidden_size": 32, "intermediate_size": 48, "out_hidden_size": HIDDEN, "num_position_embeddings": 16,
                "deepstack_visual_indexes": [0, 2],
            },
            **_IDS,
        },
    ),
    "idefics3": (
        idefics3_gguf.MMPROJ,
        {"text_config": _TEXT | {"model_type": "llama"}, "vision_config": _TOWER, "scale_factor": 2},
    ),
    "smolvlm": (
        idefics3_gguf.MMPROJ,
        {"text_config": _TEXT | {"model_type": "llama"}, "vision_config": _TOWER, "scale_factor": 2},
    ),
    "internvl": (
        internvl_gguf.MMPROJ,
        {
            "text_config": _TEXT | {"model_type": "qwen2"},
            "vision_config": _TOWER
            | {
                "image_size": [56, 56], "patch_size": [14, 14], "attention_bias": True,
                "architectures": ["InternVisionModel"],
            },
            "image_seq_length": 4,
        },
    ),
    "mistral3": (
        mistral3_gguf.MMPROJ,
        {
            "text_config": _TEXT | {"model_type": "mistral", "sliding_window": None, "rms_norm_eps": 1e-5},
            "vision_config": _TOWER | {"model_type": "pixtral", "head_dim": 16, "image_size": 280},
            "spatial_merge_size": 2,
        },
    ),
    "glm4v": (
        glm4v_gguf.MMPROJ,
        {
            "text_config": _TEXT | {"model_type": "glm4v_text", "rope_parameters": _M_ROPE | {"partial_rotary_factor": 0.5}},
            "vision_config": _GLM,
            "image_token_id": 4, "video_token_id": 7, "image_start_token_id": 5, "image_end_token_id": 6,
        },
    ),
    "glm_ocr": (
        glm4v_gguf.MMPROJ,
        {
            "text_config": _TEXT
            | {"model_type": "glm_ocr_text", "rope_parameters": _M_ROPE | {"partial_rotary_factor": 0.5}},
            "vision_config": _GLM | {"attention_bias": True},
            "image_token_id": 4, "video_token_id": 7, "image_start_token_id": 5, "image_end_token_id": 6,
        },
    ),
    "llava": (
        llava_gguf.MMPROJ,
        {
            "text_config": _TEXT | {"model_type": "llama"},
            "vision_config": _TOWER | {"model_type": "siglip_vision_model", "vision_use_head": False},
            "vision_feature_layer": -2, "vision_feature_select_strategy": "full", "image_token_id": 4,
            "image_seq_length": 16,
        },
    ),
}  # fmt: skip
"""Model type → how llama.cpp knows its vision part, and the configuration."""
_VISION = (
    "model.visual.", "model.vision_tower.", "model.vision_model.", "model.multi_modal_projector.", "model.connector.",
    "model.image_newline",
)  # fmt: skip
_HUB = {f"model.{front}": front for front in ("vision_tower.", "multi_modal_projector.", "visual.")}
_KEEPS = ("qwen3_vl", "internvl", "glm4v", "glm_ocr")
"""Whose checkpoints on the Hub have transformers' names."""


def make(model_type: str, folder: Path, **overrides: Any) -> Path:
    """Write a checkpoint of random weights, float32 numbers that bfloat16 holds, and return its folder.

    `overrides` are fields of the configuration; dicts in it are merged.
    """
    import torch
    from safetensors.torch import save_file
    from transformers import AutoConfig, AutoModelForImageTextToText

    folder.mkdir(parents=True, exist_ok=True)
    fields = {"tie_word_embeddings": False, **FAMILIES[model_type][1]}
    for name, value in overrides.items():
        fields[name] = fields[name] | value if isinstance(value, dict) else value
    vocabulary = AutoConfig.from_pretrained(model_path()).vocab_size
    fields["text_config"] = {**fields["text_config"], "vocab_size": vocabulary, "tie_word_embeddings": False}
    config = AutoConfig.for_model(model_type, **fields)
    with torch.random.fork_rng():
        torch.manual_seed(0)  # biases and class tokens keep what they are born with
        model = AutoModelForImageTextToText.from_config(config)
    _randomize(model, 0)
    model.to(torch.bfloat16)
    model.save_pretrained(folder)
    tensors = {_on_the_hub(name, model_type): value for name, value in _saved(folder).items()}
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    _write_small_files(folder, model_type)
    return folder


def _saved(folder: Path) -> dict[str, Any]:
    from safetensors.torch import load_file

    return {name: value.clone() for name, value in load_file(folder / "model.safetensors").items()}


def _on_the_hub(name: str, model_type: str) -> str:
    name = name.replace("model.language_model.model.", "language_model.model.")
    front = next((front for front in _HUB if name.startswith(front)), None)
    return name if front is None or model_type in _KEEPS else _HUB[front] + name[len(front) :]


def _write_small_files(folder: Path, model_type: str) -> None:
    for name in ("tokenizer.json", "tokenizer_config.json"):
        text = (model_path() / name).read_text("utf-8")
        for old, new in TOKENS.items():
            text = text.replace(json.dumps(old), json.dumps(new))
        (folder / name).write_text(text, "utf-8")
    shutil.copyfile(model_path() / "chat_template.jinja", folder / "chat_template.jinja")
    config = json.loads((folder / "config.json").read_text("utf-8"))
    if model_type == "internvl":  # by which the converter knows the tower
        config["vision_config"]["architectures"] = ["InternVisionModel"]
    (folder / "config.json").write_text(json.dumps(config), "utf-8")
    size = {"longest_edge": 112} if model_type in {"idefics3", "smolvlm"} else {"height": 56, "width": 56}
    stated: Mapping[str, Any] = {"image_mean": MEAN, "image_std": STD, "size": size, "image_seq_length": 4}
    (folder / "preprocessor_config.json").write_text(json.dumps(stated), "utf-8")


def opened(folder: Path) -> tuple[Checkpoint, dict[str, tuple[int, ...]]]:
    """Return a checkpoint in the form in which families see it, and the shapes of its vision part's tensors."""
    found = open_checkpoint(folder)
    if "text_config" in found.config and found.config == multimodal.flat(found.config):
        text = found.config["text_config"]
        own = {name: value for name, value in found.config.items() if name != "text_config"}
        flat = {**text, **{name: value for name, value in own.items() if value is not None or name not in text}}
        found = replace(with_names(found, multimodal.named), config=flat)
    return found, {name: found.info(name).shape for name in sorted(found.names) if name.startswith(_VISION)}


def noise(height: int, width: int) -> np.ndarray[Any, Any]:
    """Return a picture, uint8 [height, width, 3]."""
    return np.random.default_rng(3).integers(0, 256, (height, width, 3), np.uint8)


def torch_rows(folder: Path, model_type: str, picture: Any, *, norm_patches: bool = False) -> Any:
    """Return what transformers makes of a picture that needs no resizing: float32 [rows, hidden], DeepStack's behind one another.

    `norm_patches`: patches are divided by their RMS first.
    """
    import torch
    from transformers import AutoModelForImageTextToText

    model = AutoModelForImageTextToText.from_pretrained(folder, dtype=torch.float32).eval()
    if norm_patches:
        embed = model.model.visual.patch_embed.forward
        model.model.visual.patch_embed.forward = lambda x: torch.nn.functional.rms_norm(embed(x), [32], eps=1e-5)
    pixels = ((picture / 255 - MEAN) / STD).astype(np.float32)
    with torch.no_grad():
        given = {name: torch.from_numpy(value) for name, value in _given(model_type, pixels).items()}
        out = model.model.get_image_features(**given)
    pooled = out.pooler_output
    rows = torch.cat(list(pooled)) if isinstance(pooled, list | tuple) else pooled
    made = rows.float().reshape(-1, rows.shape[-1]).numpy()
    deep = getattr(out, "deepstack_features", None) or ()
    return np.concatenate([made, *(one.float().numpy() for one in deep)], axis=1)


def _given(model_type: str, pixels: Any) -> dict[str, Any]:
    """Return what transformers' model takes for normalized pixels [height, width, 3]."""
    height, width = pixels.shape[:2]
    planes = np.ascontiguousarray(pixels.transpose(2, 0, 1))
    if model_type in {"idefics3", "smolvlm"}:
        tiles = [planes[:, y : y + 56, x : x + 56] for y in range(0, height, 56) for x in range(0, width, 56)]
        return {"pixel_values": np.stack([np.ascontiguousarray(tile) for tile in tiles])[None]}
    if model_type == "mistral3":
        return {"pixel_values": planes[None], "image_sizes": np.array([[height, width]])}
    if model_type in {"gemma3", "internvl", "llava"}:
        return {"pixel_values": planes[None]}
    rows, columns = height // 14, width // 14
    frames = np.stack([planes, planes])[None].reshape(1, 2, 3, rows // 2, 2, 14, columns // 2, 2, 14)
    patches = frames.transpose(0, 3, 6, 4, 7, 2, 1, 5, 8).reshape(rows * columns, -1)
    return {"pixel_values": patches, "image_grid_thw": np.array([[1, rows, columns]])}
