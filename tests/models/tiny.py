"""Tiny checkpoints of random weights, written by transformers' own classes, with the built-in model's tokenizer.

They test structure: names, shapes, shards, types, families. They say little about quality: on random weights INT4
agrees with the original on half of the first choices. The built-in model and SmolLM2 are for that.
"""

import shutil
from pathlib import Path
from typing import Any

from edgeconv.builtin import model_path
from edgeconv.builtin.legacy import add_legacy_keys

TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja")
HEAD_DIM = 16
ROPE = {"rope_type": "default", "rope_theta": 10000.0}
COMMON: dict[str, Any] = {
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": HEAD_DIM,
    "max_position_embeddings": 512,
    "rms_norm_eps": 1e-5,
    "tie_word_embeddings": False,
    "rope_parameters": ROPE,
    "bos_token_id": None,
}
# What each family has that the others lack, at a size where it shows.
FAMILIES: dict[str, dict[str, Any]] = {
    "llama": {},
    "mistral": {"sliding_window": None},
    "qwen2": {},  # biases on q, k and v come with the class
    "qwen3": {},  # so do norms of q and k
    "gemma3_text": {
        "num_hidden_layers": 3,
        "layer_types": ["sliding_attention", "sliding_attention", "full_attention"],
        "sliding_window": 32,
        "query_pre_attn_scalar": HEAD_DIM,
        "rms_norm_eps": 1e-6,
        "tie_word_embeddings": True,
        "rope_parameters": {
            "sliding_attention": ROPE,
            "full_attention": {"rope_type": "default", "rope_theta": 1_000_000.0},
        },
    },
    "phi3": {"rope_parameters": ROPE | {"partial_rotary_factor": 1.0}},
    "glm": {"attention_bias": False, "rope_parameters": ROPE | {"partial_rotary_factor": 1.0}},
}


def make(
    model_type: str,
    folder: Path,
    *,
    dtype: str = "bfloat16",
    max_shard_size: str = "5GB",
    seed: int = 0,
    **overrides: Any,
) -> Path:
    """Write a checkpoint of `model_type` (one of `FAMILIES`) to `folder` and return it.

    Args:
        model_type: as in config.json.
        folder: made if absent.
        dtype: "bfloat16", "float16" or "float32".
        max_shard_size: as for transformers, e.g. "200KB" for several shards and an index.
        seed: the same seed gives the same bits.
        **overrides: fields of the configuration, e.g. `tie_word_embeddings=True`, `hidden_size=96`.

    """
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM, GenerationConfig

    folder.mkdir(parents=True, exist_ok=True)
    for name in TOKENIZER_FILES:
        shutil.copyfile(model_path() / name, folder / name)
    builtin = AutoConfig.from_pretrained(model_path())
    ids = {"eos_token_id": builtin.eos_token_id, "pad_token_id": builtin.pad_token_id}
    fields = COMMON | {"vocab_size": builtin.vocab_size} | ids | FAMILIES[model_type] | overrides
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model(model_type, **fields))
    _randomise(model, seed)
    model.to(getattr(torch, dtype))
    model.config.dtype = dtype
    model.generation_config = GenerationConfig(**ids)
    model.save_pretrained(folder, max_shard_size=max_shard_size)
    add_legacy_keys(folder)
    return folder


def _randomise(model: Any, seed: int) -> None:
    """Fill all weights with bell-shaped values whose width differs from output channel to output channel.

    One width for all, as a fresh model has, would give every channel the same scale and hide a quantiser that mixes
    channels up. Norms and biases leave the 1 and 0 they are born with, so that one that is forgotten shows as well.
    """
    import torch

    random = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            noise = torch.randn(parameter.shape, generator=random)
            if parameter.ndim == 1:
                parameter.add_(0.1 * noise)
            else:
                widths = torch.exp(0.5 * torch.randn(parameter.shape[0], 1, generator=random))
                parameter.copy_(noise * widths / parameter.shape[1] ** 0.5)
