"""config.json in transformers' terms from a GGUF's keys: the inverse of what `convert.gguf.describe` writes.

Numbers that GGUF stores as float32 are given as the shortest decimal of that float32, so that 1e-05 comes back as 1e-05.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ...core.dtypes import BY_ELEMENT
from ...core.errors import CheckpointError
from ..families import registry
from ..gguf.read import GgufFile
from ..gguf_values import epsilon_key
from . import claimed, rope
from .keys import Keys


def native(file: GgufFile) -> dict[str, Any]:
    """Return config.json, without the ids of special tokens.

    Raises:
        CheckpointError: an architecture that is not known, or keys that are absent, of another kind, or obeyed by llama.cpp and
            not known here.
    """
    family = registry.by_arch(file.arch)
    if family is None or family.gguf is None or not family.gguf.readable:
        raise CheckpointError(
            f"{file.path.name} holds the architecture {file.arch or '(none)'!r}, which cannot be read.",
            f"Of GGUF files these can: {', '.join(_readable())}. Convert the original checkpoint.",
        )
    claimed.require(file)
    keys = Keys(file)
    heads = keys.size("attention.head_count")
    hidden = keys.size("embedding_length")
    head_dim = keys.size("attention.key_length", hidden // heads)
    rotated = keys.size("rope.dimension_count", head_dim)
    if rotated != head_dim and not family.partial_rotary:
        raise CheckpointError(
            f"{file.path.name}: {rotated} of {head_dim} dimensions of a head are rotated in a {file.arch}."
        )
    config = {
        "architectures": [family.architecture],
        "model_type": family.model_type,
        "vocab_size": _rows(file, "token_embd.weight"),
        "hidden_size": hidden,
        "intermediate_size": keys.size("feed_forward_length"),
        "num_hidden_layers": keys.size("block_count"),
        "num_attention_heads": heads,
        "num_key_value_heads": _most(keys, "attention.head_count_kv", heads),
        "head_dim": head_dim,
        "max_position_embeddings": keys.size("context_length"),
        family.field("rms_norm_eps"): keys.number(epsilon_key(layer_norm=family.layer_norm)),
        family.field("hidden_act"): family.gguf.activation,
        "attention_dropout": 0.0,
        "tie_word_embeddings": "output.weight" not in file.tensors,
        "torch_dtype": _dtype(file),
        "use_cache": True,
        **({"partial_rotary_factor": rotated / head_dim} if family.partial_rotary else {}),
        **rope.parameters(file, family.gguf, keys, rotated),
    }
    return config | dict(family.gguf.to_config(file, keys))


def _most(keys: Keys, key: str, default: int) -> int:
    """Return a size, the largest if there is one for each layer (0 where a layer does not attend)."""
    stated = keys.get(key)
    if isinstance(stated, np.ndarray) and stated.ndim == 1 and stated.size and 0 < int(stated.max()) < 2**31:
        return int(stated.max())
    return keys.size(key, default)


def _readable() -> list[str]:
    """Return the architectures that can be read, sorted."""
    readable = (one.gguf.arch for one in registry.every() if one.gguf and one.gguf.readable and one.experts is None)
    return sorted(set(readable))


def _rows(file: GgufFile, name: str) -> int:
    if name not in file.tensors or len(file.tensors[name].shape) != 2:
        raise CheckpointError(
            f"{file.path.name} has no matrix {name}.", "It holds no language model, or not all of it."
        )
    return file.tensors[name].rows


def _dtype(file: GgufFile) -> str:
    """The type of the matrices, if the file holds them as they were."""
    kinds = {info.type for info in file.tensors.values() if len(info.shape) > 1}
    kind = BY_ELEMENT.get(min(kinds)) if len(kinds) == 1 else None
    return kind.torch if kind else "float32"
