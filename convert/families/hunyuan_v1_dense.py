"""Hunyuan, dense: Llama's block with norms of q and k behind the rotation; "dynamic" rope with a constant alpha is a larger base.

Sources: `transformers/models/hunyuan_v1_dense/`; `src/models/hunyuan-dense.cpp` and `conversion/hunyuan.py` of llama.cpp.
"""

from __future__ import annotations

from typing import Any

from ..gguf_values import Value
from ..program.decoder import Decoder
from ..program.gguf_spec import Gguf, Stretch
from ..program.reading import Config, Reader, UnsupportedArchitecture, positive
from ..program.rope import Rope, kind_of, parameters, read_rope
from ..program.spec import Family
from .llama import common


def _alpha(config: Config) -> Any:
    """Return what the base grows by, if the config states it."""
    table = parameters(config)
    return table.get("alpha") if kind_of(table) == "dynamic" else None


def _keys(config: Config, decoder: Decoder) -> dict[str, Value]:
    if decoder.qkv_bias:
        raise UnsupportedArchitecture("its projections have biases, which llama.cpp's hunyuan-dense does not load")
    return {}


def _rope(read: Reader, head_dim: int) -> Rope:
    table, alpha = parameters(read.config), _alpha(read.config)
    if not alpha:
        return read_rope(read, head_dim)
    theta = positive(table["rope_theta"] if "rope_theta" in table else read.get("rope_theta"), "rope_theta")
    return Rope(theta * positive(alpha, "rope_parameters.alpha") ** (head_dim / (head_dim - 2)), head_dim)


FAMILY = Family(
    "hunyuan_v1_dense",
    "HunYuanDenseV1ForCausalLM",
    common(without=("mlp_bias",), rms_norm_eps=1e-05),
    qk_norm=True,
    qk_norm_late=True,
    qk_norm_names=("query_layernorm", "key_layernorm"),
    also_reads=frozenset(["use_qk_norm"]),
    rope=_rope,
    gguf=Gguf(
        "hunyuan-dense",
        output_bias=False,
        names={"self_attn.query_layernorm": "attn_q_norm", "self_attn.key_layernorm": "attn_k_norm"},
        keys=_keys,
        stretch=lambda config, decoder, context: Stretch() if _alpha(config) else None,
        to_config=lambda file, keys: {"attention_bias": False},
    ),
)
