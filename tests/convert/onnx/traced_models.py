"""Tiny random checkpoints of families that transformers knows and the graph builder does not, and the built-in's tokenizer."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from edgeconv.builtin import model_path

from ...models import tiny

USUAL = {
    "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 1, "num_attention_heads": 4,
    "max_position_embeddings": 512,
}  # fmt: skip
CONFIGS: dict[str, dict[str, Any]] = {
    "gpt2": {"n_embd": 64, "n_layer": 2, "n_head": 4, "n_positions": 512},  # [in, out], learned positions, a tied head
    "stablelm": {
        **USUAL,
        "num_key_value_heads": 2,
        "use_qkv_bias": True,
    },  # shared keys, a quarter of each head rotated
    "bloom": {"hidden_size": 64, "n_layer": 2, "n_head": 4},  # no positions: what is far weighs less
    "gpt_neox": {**USUAL, "num_hidden_layers": 2},  # queries, keys and values of a head side by side
    "gemma2": {
        **USUAL,
        "num_hidden_layers": 2,
        "num_key_value_heads": 2,
        "head_dim": 16,
        "sliding_window": 16,
    },  # windows
}
QUICK = ("gpt2", "stablelm")


def make(
    model_type: str, folder: Path, dtype: str = "float32", base: dict[str, Any] | None = None, **fields: Any
) -> Path:
    """Write a checkpoint to `folder` and return it; `base` in the place of the row of `CONFIGS`."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM, GenerationConfig

    folder.mkdir(parents=True, exist_ok=True)
    for name in tiny.TOKENIZER_FILES:
        shutil.copyfile(model_path() / name, folder / name)
    builtin = AutoConfig.from_pretrained(model_path())
    ids = {"eos_token_id": builtin.eos_token_id, "pad_token_id": builtin.pad_token_id, "bos_token_id": None}
    config = AutoConfig.for_model(
        model_type, vocab_size=builtin.vocab_size, **(ids | (base or CONFIGS.get(model_type, USUAL)) | fields)
    )
    model = AutoModelForCausalLM.from_config(config)
    tiny._randomize(model, 0)
    model.to(getattr(torch, dtype))
    model.config.dtype = dtype
    model.generation_config = GenerationConfig(**ids)
    model.save_pretrained(folder)
    return folder
