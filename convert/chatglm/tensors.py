"""A ChatGLM's tensors under GlmForCausalLM's names: each is one of the checkpoint's, or a range of its rows. Nothing is copied.

`query_key_value` holds all rows of q, then those of k, then those of v. `dense_h_to_4h` holds gate and up, gate first, as
`gate_up_proj` does. `inv_freq` is a buffer that follows from the config.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ..mapped_file import MappedFile
from ..row_views import Layout, Shards, seen
from ..safetensors_file import Header

_OUTER = {
    "transformer.embedding.word_embeddings.weight": "model.embed_tokens.weight",
    "transformer.encoder.final_layernorm.weight": "model.norm.weight",
    "transformer.output_layer.weight": "lm_head.weight",
}
_IN_LAYER = {
    "input_layernorm": "input_layernorm",
    "self_attention.dense": "self_attn.o_proj",
    "post_attention_layernorm": "post_attention_layernorm",
    "mlp.dense_h_to_4h": "mlp.gate_up_proj",
    "mlp.dense_4h_to_h": "mlp.down_proj",
}
_FUSED = "self_attention.query_key_value"
_DROPPED = re.compile(r"transformer\.rotary_pos_emb\.inv_freq")
_LAYER = re.compile(r"transformer\.encoder\.layers\.(\d+)\.(.+)\.(weight|bias)")


def renamed(shards: Mapping[str, MappedFile | Header], config: Mapping[str, Any]) -> Shards:
    """Return the same shards with their tensors under other names.

    Args:
        shards: of the checkpoint.
        config: that of GlmForCausalLM.

    Raises:
        CheckpointError: `query_key_value` does not have the rows that the config promises.
    """
    q = config["num_attention_heads"] * config["head_dim"]
    kv = config["num_key_value_heads"] * config["head_dim"]
    parts = {f"self_attn.{part}_proj": rows for part, rows in (("q", q), ("k", kv), ("v", kv))}
    return seen(shards, Layout(_LAYER, _OUTER, _IN_LAYER, {_FUSED: parts}, dropped=_DROPPED))
