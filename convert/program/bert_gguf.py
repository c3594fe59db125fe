"""BERT's encoder in llama.cpp's terms. Sources: `src/models/bert.cpp` and `conversion/bert.py` of llama.cpp.

Its graph adds the first row of the token types to every token: pairs of texts, which the second row is for, it does not know.
"""

from __future__ import annotations

import numpy as np

from ..gguf_held import Held
from ..gguf_values import boolean, f32, u32
from .bert import Bert
from .encoder_gguf import TABLE_BUDGETS, EncoderGguf, Written, require_gelu

ARCH = "bert"
_OUTER = {
    "embeddings.word_embeddings": "token_embd",
    "embeddings.position_embeddings": "position_embd",
    "embeddings.token_type_embeddings": "token_types",
    "embeddings.LayerNorm": "token_embd_norm",
}
_BLOCK = {
    "attention.self.query": "attn_q",
    "attention.self.key": "attn_k",
    "attention.self.value": "attn_v",
    "attention.output.dense": "attn_output",
    "attention.output.LayerNorm": "attn_output_norm",
    "intermediate.dense": "ffn_up",
    "output.dense": "ffn_down",
    "output.LayerNorm": "layer_output_norm",
}


def _written(bert: Bert) -> Written:
    said = require_gelu(bert.activation, ARCH)
    keys = {
        "vocab_size": u32(bert.vocab_size),
        "context_length": u32(bert.positions),
        "embedding_length": u32(bert.width),
        "block_count": u32(bert.num_layers),
        "feed_forward_length": u32(bert.inner),
        "attention.head_count": u32(bert.num_heads),
        "attention.layer_norm_epsilon": f32(bert.eps),
        "attention.causal": boolean(False),
        "tokenizer.ggml.token_type_count": u32(bert.kinds),
    }
    places = f"{bert.prefix}embeddings.position_embeddings.weight"
    held = {}
    if bert.pad is not None:  # llama.cpp counts positions from 0 on
        held[places] = Held(rows=np.arange(bert.pad + 1, bert.places), part=True)
    return Written(bert.num_heads, keys, {name: _name(name, bert.prefix) for name in bert.tensors()}, held, said)


def _name(source: str, prefix: str) -> str:
    module, _, kind = source.removeprefix(prefix).rpartition(".")
    if module in _OUTER:
        return f"{_OUTER[module]}.{kind}"
    layer, _, inside = module.removeprefix("encoder.layer.").partition(".")
    return f"blk.{layer}.{_BLOCK[inside]}.{kind}"


GGUF = EncoderGguf(ARCH, _written, TABLE_BUDGETS)
