"""config.json in transformers' terms from a GGUF's keys: the inverse of what `convert.gguf.families` writes.

Numbers that GGUF stores as float32 are given as the shortest decimal of that float32, so that 1e-05 comes back as 1e-05.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ...core.errors import CheckpointError
from ..gguf.families import gemma3
from ..gguf.read import GgufFile
from . import claimed, rope

_ARCHITECTURES = {
    "chatglm": "GlmForCausalLM",
    "gemma3": "Gemma3ForCausalLM",
    "glm4": "Glm4ForCausalLM",
    "llama": "LlamaForCausalLM",
    "phi3": "Phi3ForCausalLM",
    "qwen2": "Qwen2ForCausalLM",
    "qwen3": "Qwen3ForCausalLM",
}
_MODEL_TYPES = {"chatglm": "glm", "gemma3": "gemma3_text"}
"""Where transformers' name is another than llama.cpp's. A Mistral in a GGUF is a Llama."""
_LOCAL_BASE = 10_000.0
"""Of Gemma 3's local layers."""
_PARTIAL = ("chatglm", "glm4", "phi3")
"""Architectures of which transformers reads partial_rotary_factor."""


def native(file: GgufFile) -> dict[str, Any]:
    """Return config.json, without the ids of special tokens.

    Raises:
        CheckpointError: an architecture that is not known, or keys that are absent, of another kind, or obeyed by llama.cpp and
            not known here.
    """
    if file.arch not in _ARCHITECTURES:
        raise CheckpointError(
            f"{file.path.name} holds the architecture {file.arch or '(none)'!r}, which cannot be read.",
            f"Of GGUF files these can: {', '.join(sorted(_ARCHITECTURES))}. Convert the original checkpoint.",
        )
    claimed.require(file)
    keys = Keys(file)
    heads = keys.size("attention.head_count")
    hidden = keys.size("embedding_length")
    head_dim = keys.size("attention.key_length", hidden // heads)
    rotated = keys.size("rope.dimension_count", head_dim)
    if rotated != head_dim and file.arch not in _PARTIAL:
        raise CheckpointError(
            f"{file.path.name}: {rotated} of {head_dim} dimensions of a head are rotated in a {file.arch}."
        )
    config = {
        "architectures": [_ARCHITECTURES[file.arch]],
        "model_type": _MODEL_TYPES.get(file.arch, file.arch),
        "vocab_size": _rows(file, "token_embd.weight"),
        "hidden_size": hidden,
        "intermediate_size": keys.size("feed_forward_length"),
        "num_hidden_layers": keys.size("block_count"),
        "num_attention_heads": heads,
        "num_key_value_heads": keys.size("attention.head_count_kv", heads),
        "head_dim": head_dim,
        "max_position_embeddings": keys.size("context_length"),
        "rms_norm_eps": keys.number("attention.layer_norm_rms_epsilon"),
        "hidden_act": "silu",
        "attention_dropout": 0.0,
        "tie_word_embeddings": "output.weight" not in file.tensors,
        "torch_dtype": _dtype(file),
        "use_cache": True,
        **({"partial_rotary_factor": rotated / head_dim} if file.arch in _PARTIAL else {}),
        **rope.parameters(file, keys, rotated),
    }
    return config | _OWN.get(file.arch, _nothing)(file, keys)


class Keys:
    """Keys of the architecture, checked: a file may hold anything under any name."""

    def __init__(self, file: GgufFile) -> None:
        self._file = file

    def get(self, key: str) -> Any:
        """Return the value as it stands; None if there is none."""
        return self._file.own(key)

    def size(self, key: str, default: int | None = None) -> int:
        """Return a positive whole number; an array of the same number for each layer counts as one. Raises CheckpointError."""
        value = self._file.own(key, default)
        if isinstance(value, np.ndarray) and value.size and (value == value[0]).all():
            value = value[0].item()
        if type(value) is not int or not 0 < value < 2**31:
            raise self._wrong(key, value, "a positive whole number")
        return value

    def number(self, key: str, default: float | None = None) -> float:
        """Return a positive number. Raises CheckpointError."""
        value = self._file.own(key, default)
        if type(value) not in (int, float) or not 0 < value < 1e30:
            raise self._wrong(key, value, "a positive number")
        return shortest(value)

    def _wrong(self, key: str, value: Any, wanted: str) -> CheckpointError:
        return CheckpointError(
            f"{self._file.path.name}: the key {self._file.arch}.{key} is {value!r}, not {wanted}.",
            "Convert the original checkpoint.",
        )


def shortest(value: float) -> float:
    """Return the number with the fewest digits that rounds to the same float32."""
    return float(str(np.float32(value)))


def _rows(file: GgufFile, name: str) -> int:
    if name not in file.tensors or len(file.tensors[name].shape) != 2:
        raise CheckpointError(
            f"{file.path.name} has no matrix {name}.", "It holds no language model, or not all of it."
        )
    return file.tensors[name].rows


def _dtype(file: GgufFile) -> str:
    """The type of the matrices, if the file holds them as they were."""
    kinds = {info.type for info in file.tensors.values() if len(info.shape) > 1}
    return {"bf16": "bfloat16", "f16": "float16"}.get(min(kinds), "float32") if len(kinds) == 1 else "float32"


def _biased(file: GgufFile, *names: str) -> bool:
    return any(f"blk.0.{name}.bias" in file.tensors for name in names)


def _nothing(file: GgufFile, keys: Keys) -> dict[str, Any]:
    return {}


def _glm(file: GgufFile, keys: Keys) -> dict[str, Any]:
    return {"attention_bias": _biased(file, "attn_q", "attn_qkv")}


def _llama(file: GgufFile, keys: Keys) -> dict[str, Any]:
    return {"attention_bias": _biased(file, "attn_q"), "mlp_bias": _biased(file, "ffn_gate")}


def _qwen2(file: GgufFile, keys: Keys) -> dict[str, Any]:
    return {"use_sliding_window": False}


def _qwen3(file: GgufFile, keys: Keys) -> dict[str, Any]:
    return {"attention_bias": _biased(file, "attn_q"), "use_sliding_window": False}


def _phi3(file: GgufFile, keys: Keys) -> dict[str, Any]:
    return {"sliding_window": keys.get("attention.sliding_window") or None}


def _gemma3(file: GgufFile, keys: Keys) -> dict[str, Any]:
    """Windows and scale; llama.cpp takes the scale from the head's width, for the model of 62 layers from width by heads."""
    layers, heads = keys.size("block_count"), keys.size("attention.head_count")
    width = keys.size("embedding_length") // heads
    window = keys.get("attention.sliding_window")
    pattern = keys.get("attention.sliding_window_pattern")
    every = pattern if type(pattern) is int and pattern > 0 else gemma3.PATTERN
    local = list(pattern) if isinstance(pattern, np.ndarray) else [(layer + 1) % every != 0 for layer in range(layers)]
    cap = keys.get("final_logit_softcapping")
    return {
        "hidden_activation": "gelu_pytorch_tanh",
        "query_pre_attn_scalar": width if layers == 62 else keys.size("attention.key_length", width),
        "sliding_window": window or gemma3.DEFAULTS["sliding_window"],
        "layer_types": ["sliding_attention" if window and yes else "full_attention" for yes in local],
        "rope_local_base_freq": keys.number("rope.freq_base_swa", _LOCAL_BASE),
        "attention_bias": False,
        "final_logit_softcapping": shortest(cap) if cap else None,
    }


_OWN: dict[str, Callable[[GgufFile, Keys], dict[str, Any]]] = {
    "chatglm": _glm, "gemma3": _gemma3, "glm4": _glm, "llama": _llama, "phi3": _phi3, "qwen2": _qwen2, "qwen3": _qwen3,
}  # fmt: skip
