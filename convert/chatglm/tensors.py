"""A ChatGLM's tensors under GlmForCausalLM's names: each is one of the checkpoint's, or a range of its rows. Nothing is copied.

`query_key_value` holds all rows of q, then those of k, then those of v. `dense_h_to_4h` holds gate and up, gate first, as
`gate_up_proj` does. `inv_freq` is a buffer that follows from the config.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from ...core.errors import CheckpointError
from ..mapped_file import MappedFile, TensorInfo
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
_DROPPED = "transformer.rotary_pos_emb.inv_freq"
_LAYER = re.compile(r"transformer\.encoder\.layers\.(\d+)\.(.+)\.(weight|bias)")

Shards = dict[str, MappedFile | Header]


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
    found: Shards = {}
    for name, shard in shards.items():
        infos = [info for source in shard.tensors.values() for info in _views(source, q, kv)]
        found[name] = shard.with_tensors({info.name: info for info in infos})
    return found


def _views(source: TensorInfo, q: int, kv: int) -> Iterator[TensorInfo]:
    """Give the tensors that a source tensor becomes; one of an unknown name keeps it, and is refused later as unused."""
    layer = _LAYER.fullmatch(source.name)
    if source.name == _DROPPED:
        return
    if layer is None:
        yield replace(source, name=_OUTER.get(source.name, source.name))
    elif layer[2] == _FUSED:
        yield from _split(source, f"model.layers.{layer[1]}.self_attn.", layer[3], q, kv)
    elif layer[2] in _IN_LAYER:
        yield replace(source, name=f"model.layers.{layer[1]}.{_IN_LAYER[layer[2]]}.{layer[3]}")
    else:
        yield source


def _split(source: TensorInfo, prefix: str, kind: str, q: int, kv: int) -> Iterator[TensorInfo]:
    if not source.shape or source.shape[0] != q + 2 * kv:
        raise CheckpointError(
            f"{source.name} is {list(source.shape)}; by config.json it should have {q} + {kv} + {kv} rows.",
            "Config and weights are not of the same model.",
        )
    row = (source.end - source.start) // source.shape[0]
    first = 0
    for part, rows in (("q", q), ("k", kv), ("v", kv)):
        start = source.start + first * row
        shape = (rows, *source.shape[1:])
        yield TensorInfo(f"{prefix}{part}_proj.{kind}", source.dtype, shape, start, start + rows * row)
        first += rows
