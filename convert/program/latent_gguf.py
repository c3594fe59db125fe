"""How llama.cpp knows latent attention, in its architecture deepseek2.

Its graph takes the projection to the heads into the queries ("absorbed"), so that the cache holds the narrow vectors alone, as
keys of one head; the projection stands in the file in two tensors, that of the keys turned over, head by head. A YaRN's factor of
the scores is the square of attn_factor * (1 + 0.1 * yarn_log_multiplier * 10 * log(factor)), and cosines are multiplied by
attn_factor. Sources: `src/models/deepseek2.cpp`, `src/llama-context.cpp` and `conversion/deepseek.py` of llama.cpp, whose
converter leaves expert_gating_func out where config.json has no scoring_func: a small model of glm4_moe_lite is then another one.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from ..gguf_held import Held
from ..gguf_values import Value, boolean, f32, string, u32
from .decoder import Decoder
from .gguf_spec import Gguf, Stretch
from .latent import EPSILON, KV_A, KV_B, Latent
from .reading import Config, UnsupportedArchitecture
from .rope import scores_factor

_GATING = {"softmax": 1, "sigmoid": 2}
"""llama.cpp's numbers of the scores."""
NAMES = {
    "self_attn.q_a_proj": "attn_q_a",
    "self_attn.q_a_layernorm": "attn_q_a_norm",
    "self_attn.q_b_proj": "attn_q_b",
    f"self_attn.{KV_A}": "attn_kv_a_mqa",
    "self_attn.kv_a_layernorm": "attn_kv_a_norm",
}
_YARN = {"beta_fast": 32.0, "beta_slow": 1.0, "truncate": True}
"""What llama.cpp computes with, whatever is stated."""


def _latent(decoder: Decoder) -> Latent:
    assert decoder.latent is not None
    return decoder.latent


def split(decoder: Decoder) -> Mapping[str, Mapping[str, Held]]:
    """Return the two tensors that hold the projection to the heads."""
    latent = _latent(decoder)
    rows = np.arange(latent.heads * (latent.plain + latent.value)).reshape(latent.heads, -1)
    keys, values = rows[:, : latent.plain].reshape(-1), rows[:, latent.plain :].reshape(-1)
    return {
        f"self_attn.{KV_B}.weight": {
            "attn_k_b.weight": Held(rows=keys, part=True, matrices=latent.heads, turned=True),
            "attn_v_b.weight": Held(rows=values, part=True, matrices=latent.heads),
        }
    }


def keys(config: Config, decoder: Decoder) -> dict[str, Value]:
    """Return sizes and the router's rules; refuse what llama.cpp's graph has otherwise."""
    latent, experts = _latent(decoder), next((one for one in decoder.experts if one), None)
    dense = sum(one is None for one in decoder.experts)
    if latent.bias or not decoder.rope.interleaved:
        raise UnsupportedArchitecture(
            "its narrow projections have biases, or halves are rotated, unlike in llama.cpp's graph"
        )
    if experts is None or experts.shared is None or any(one is None for one in decoder.experts[dense:]):
        raise UnsupportedArchitecture(
            "a layer behind the first ones has no experts, or none is shared, unlike in llama.cpp's graph"
        )
    if experts.groups > 1 and experts.group_best != min(2, experts.count // experts.groups):
        raise UnsupportedArchitecture(
            "a group of experts is taken for its best one, and llama.cpp's graph takes it for the sum of its best two"
        )
    if experts.groups > 1 and experts.count // experts.groups < 2:
        raise UnsupportedArchitecture("its groups have one expert each, and llama.cpp's graph looks at two")
    return {
        "attention.head_count_kv": u32(1),
        "attention.key_length": u32(latent.rank + latent.rotated),
        "attention.value_length": u32(latent.rank),
        "attention.key_length_mla": u32(latent.width),
        "attention.value_length_mla": u32(latent.value),
        "attention.q_lora_rank": u32(latent.query_rank or 0),
        "attention.kv_lora_rank": u32(latent.rank),
        "leading_dense_block_count": u32(dense),
        "expert_shared_count": u32(experts.shared.width // experts.width),
        "expert_weights_scale": f32(experts.factor),
        "expert_weights_norm": boolean(experts.normalized),
        "expert_gating_func": u32(_GATING[experts.scores]),
        "expert_group_count": u32(experts.groups),
        "expert_group_used_count": u32(experts.used_groups),
    }


def stretch(config: Config, decoder: Decoder, context: int) -> Stretch:
    """Translate YaRN, cosines and scores apart. Raises UnsupportedArchitecture for another kind, or other numbers of it."""
    rope = decoder.rope
    if rope.kind == "default":
        return Stretch()
    if rope.kind != "yarn":
        raise UnsupportedArchitecture(f"it has rotary embeddings of the kind {rope.kind!r}")
    scaling, factor = rope.scaling, float(rope.scaling["factor"])
    for name, value in _YARN.items():
        stated = scaling.get(name)
        if stated is not None and not math.isclose(stated, value, rel_tol=1e-6):
            raise UnsupportedArchitecture(f"its YaRN states {name} = {stated}, where llama.cpp computes with {value}")
    if factor <= 1:
        raise UnsupportedArchitecture(f"its YaRN states factor = {factor}, where llama.cpp wants one above 1")
    cosines, scores, tenth = rope.attention_factor, scores_factor(scaling), 0.1 * math.log(factor)
    made: dict[str, Any] = {
        "rope.scaling.type": string("yarn"),
        "rope.scaling.factor": f32(factor),
        "rope.scaling.original_context_length": u32(int(scaling["original_max_position_embeddings"])),
    }
    more = (scores / cosines - 1) / tenth
    if abs(more) < 1e-6:  # without a multiplier llama.cpp has a factor of its own, of cosines and scores alike
        return Stretch(made | {"rope.scaling.attn_factor": f32(cosines / (1 + tenth))})
    made["rope.scaling.yarn_log_multiplier"] = f32(0.1 * more)
    return Stretch(made | ({} if math.isclose(cosines, 1.0) else {"rope.scaling.attn_factor": f32(cosines)}))


def held(decoder: Decoder) -> dict[str, Held]:
    """Scale what a narrow vector's norm reads, where that norm adds another number under its root than llama.cpp does.

    x / sqrt(mean(x²) + e) is the same for s * x with s² * e, so the file's one epsilon serves both.
    """
    latent, factor = _latent(decoder), math.sqrt(decoder.rms_norm_eps / EPSILON)
    if math.isclose(factor, 1.0):
        return {}
    narrow, common = np.full(latent.rank, factor, np.float32), np.ones(latent.rotated, np.float32)
    made = {f"self_attn.{KV_A}.weight": Held(times=np.concatenate([narrow, common]), exact=True)}
    if latent.query_rank:
        made["self_attn.q_a_proj.weight"] = Held(times=np.full(latent.query_rank, factor, np.float32), exact=True)
    return made


def known_as(arch: str) -> Gguf:
    """Return how llama.cpp knows a family of one of its architectures with such attention."""
    return Gguf(
        arch, output_bias=False, names=NAMES, held=held, split=split, keys=keys, stretch=stretch, readable=False
    )
