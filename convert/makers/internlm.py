"""InternLM2 (and 2.5) and InternLM3: Llama's block under other names, with q, k and v of a group of heads in one.

Sources: `configuration_internlm2.py` and `modeling_internlm2.py` of internlm/internlm2_5-7b-chat, `modeling_internlm3.py` of
internlm/internlm3-8b-instruct (read, never run); `conversion/internlm.py` of llama.cpp, which writes InternLM3 as a Llama, too.
"""

from __future__ import annotations

import re

from ...core.errors import CheckpointError
from ..families import llama, qwen2
from ..program.reading import contradicting
from ..row_views import Layout
from .maker import Maker, Native, Table, without_dynamic

_LAYER = re.compile(r"model\.layers\.(\d+)\.(.+)\.(weight|bias)")
_BUFFERS = re.compile(r".*\.inv_freq")
_OUTER = {"model.tok_embeddings.weight": "model.embed_tokens.weight", "output.weight": "lm_head.weight"}
_INSIDE = {
    "attention.wo": "self_attn.o_proj",
    "feed_forward.w1": "mlp.gate_proj",
    "feed_forward.w3": "mlp.up_proj",
    "feed_forward.w2": "mlp.down_proj",
    "attention_norm": "input_layernorm",
    "ffn_norm": "post_attention_layernorm",
}
_ROPES = ("default", "linear", "dynamic")
_COMMON = {
    "num_key_value_heads": None,
    "hidden_act": "silu",
    "rms_norm_eps": 1e-06,
    "rope_theta": 10000.0,
    "tie_word_embeddings": False,
}


def _second(config: Table) -> Native:
    heads, keys, hidden = (config[key] for key in ("num_attention_heads", "num_key_value_heads", "hidden_size"))
    if hidden % heads or heads % keys:
        raise contradicting(f"{hidden} dimensions, {heads} heads and {keys} keys do not divide each other evenly")
    config, notes = without_dynamic(config, _ROPES)
    config = config | {"attention_bias": bool(config.pop("bias")), "mlp_bias": False}
    width = hidden // heads
    parts = {"q": heads // keys * width, "k": width, "v": width}
    fused = {"attention.wqkv": {f"self_attn.{part}_proj": rows for part, rows in parts.items()}}
    return Native(llama.FAMILY, config, Layout(_LAYER, _OUTER, _INSIDE, fused, keys, _BUFFERS), notes)


def _third(config: Table) -> Native:
    config, notes = without_dynamic(config, (*_ROPES, "yarn", "llama3", "longrope"))
    on_qkv, everywhere = bool(config.pop("qkv_bias")), bool(config.pop("bias"))
    if on_qkv and not everywhere:
        return Native(qwen2.FAMILY, config | {"use_sliding_window": False}, notes=notes)
    if everywhere and not on_qkv:
        raise CheckpointError(
            "config.json states bias = true and qkv_bias = false: biases of the output projection and the MLP without those of "
            "q, k and v are of no class of transformers.",
            "InternLM3 is published without any; take an original checkpoint.",
        )
    return Native(llama.FAMILY, config | {"attention_bias": everywhere, "mlp_bias": everywhere}, notes=notes)


INTERNLM2 = Maker("InternLM2", {**_COMMON, "max_position_embeddings": 2048, "bias": True}, _second)
INTERNLM3 = Maker("InternLM3", {**_COMMON, "max_position_embeddings": 32768, "bias": False, "qkv_bias": False}, _third)
