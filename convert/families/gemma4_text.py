"""Gemma 4, text: heads and ropes of two kinds, keys and values that later layers share, inputs of each layer's own.

Its norms are whole, unlike those of the Gemmas before. Layers with experts (26B-A4B) are not built yet.
Source: `transformers/models/gemma4/`.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

from ..program.attention import Attention, sources
from ..program.decoder import Decoder
from ..program.ops import Heads
from ..program.per_layer import PerLayer
from ..program.reading import Config, Reader, UnsupportedArchitecture, contradicting, whole, wrong
from ..program.rope import Rope, kind_of, read_rope
from ..program.spec import Family
from ..program.windows import FULL, SLIDING, layer_kinds
from .gemma import NORMS, cap
from .gemma4_gguf import GGUF

PATTERN = 6
"""Every so many layers one is global, if nothing else is stated; the last always is."""
ROPES: dict[str, dict[str, Any]] = {
    SLIDING: {"rope_type": "default", "rope_theta": 10_000.0},
    FULL: {"rope_type": "proportional", "partial_rotary_factor": 0.25, "rope_theta": 1_000_000.0},
}
_KINDS = ("default", "proportional")


def kinds_of(read: Reader) -> list[str]:
    """Return the kind of each layer."""
    return [*layer_kinds(read, PATTERN)[:-1], FULL]


def count(read: Reader, key: str) -> int:
    """Return a whole number that may be 0."""
    value = read.get(key)
    return 0 if value == 0 and type(value) is int else whole(value, key)


def _ropes(read: Reader, widths: dict[str, int]) -> dict[str, Rope]:
    """Return the rotary embedding of each kind of layer."""
    stated = read.config.get("rope_parameters") or ROPES
    if not isinstance(stated, dict):
        raise wrong("rope_parameters", stated, "a table")
    made = {}
    for kind, width in widths.items():
        table = stated.get(kind)
        if not isinstance(table, dict):
            raise wrong(f"rope_parameters.{kind}", table, "a table")
        scaling = kind_of(table)
        if scaling not in _KINDS or (scaling == "default" and width != read.size("head_dim")):
            raise UnsupportedArchitecture(f"its {kind} layers have rotary embeddings of the kind {scaling!r}")
        made[kind] = read_rope(Reader({"rope_parameters": table}, read.defaults), width)
    return made


def _attentions(read: Reader, decoder: Decoder, kinds: list[str], widths: dict[str, int]) -> tuple[Attention, ...]:
    same = bool(read.get("attention_k_eq_v"))
    keys = {SLIDING: decoder.num_kv_heads, FULL: decoder.num_kv_heads}
    if same:
        keys[FULL] = whole(read.get("num_global_key_value_heads"), "num_global_key_value_heads")
    if decoder.num_heads % keys[FULL]:
        raise contradicting(f"{decoder.num_heads} heads cannot share {keys[FULL]} keys evenly")
    reads = sources(kinds, count(read, "num_kv_shared_layers"))
    return tuple(
        Attention(Heads(decoder.num_heads, keys[kind], widths[kind]), source, same and kind == FULL, value_norm=True)
        for kind, source in zip(kinds, reads, strict=True)
    )


def _described(read: Reader, decoder: Decoder) -> Decoder:
    if read.get("enable_moe_block"):
        raise UnsupportedArchitecture("its layers have experts beside the MLP, which are not built yet")
    kinds = kinds_of(read)
    widths = {SLIDING: decoder.head_dim, FULL: read.size_or("global_head_dim", decoder.head_dim)}
    ropes, attentions = _ropes(read, widths), _attentions(read, decoder, kinds, widths)
    wide = 2 if read.get("use_double_wide_mlp") else 1
    width = count(read, "hidden_size_per_layer_input")
    per_layer = None
    if width:
        rows, eps = read.size("vocab_size_per_layer_input"), decoder.rms_norm_eps
        per_layer = PerLayer(decoder.num_layers, width, rows, decoder.hidden_size, eps, decoder.activation)
    window = read.size("sliding_window") if SLIDING in kinds else None
    return replace(
        decoder,
        rope=ropes[SLIDING],
        ropes=tuple(ropes[kind] for kind in kinds),
        windows=tuple(window if kind == SLIDING else None for kind in kinds),
        attentions=attentions,
        inner_sizes=tuple(decoder.intermediate_size * (1 if how.reads is None else wide) for how in attentions),
        per_layer=per_layer,
        layer_scalar=True,
        embedding_scale=math.sqrt(decoder.hidden_size),
        attention_scale=1.0,
        logit_softcap=cap(read, "final_logit_softcapping"),
    )


def _local_rope(read: Reader, head_dim: int) -> Rope:
    return _ropes(read, {SLIDING: head_dim})[SLIDING]


DEFAULTS: Config = {
    "head_dim": 256,
    "vocab_size": 262144,
    "hidden_size": 2304,
    "intermediate_size": 9216,
    "num_hidden_layers": 30,
    "num_attention_heads": 8,
    "num_key_value_heads": 4,
    "rms_norm_eps": 1e-06,
    "hidden_act": "gelu_pytorch_tanh",
    "tie_word_embeddings": True,
    "attention_bias": False,
    "sliding_window": 512,
    "max_position_embeddings": 131072,
    "global_head_dim": 512,
    "num_global_key_value_heads": None,
    "attention_k_eq_v": False,
    "num_kv_shared_layers": 0,
    "use_double_wide_mlp": False,
    "vocab_size_per_layer_input": 262144,
    "hidden_size_per_layer_input": 256,
    "enable_moe_block": False,
    "final_logit_softcapping": None,
}

FAMILY = Family(
    "gemma4_text",
    "Gemma4ForCausalLM",
    DEFAULTS,
    qk_norm=True,
    norms=NORMS,
    full_every=PATTERN,
    details=_described,
    aliases={"hidden_activation": "hidden_act"},
    also_reads=frozenset(["use_bidirectional_attention", "num_experts", "top_k_experts", "moe_intermediate_size"]),
    rope=_local_rope,
    gguf=GGUF,
    within=frozenset(["gemma4"]),
    vision_prefix=("model.vision_tower.", "model.embed_vision.", "model.audio_tower.", "model.embed_audio."),
)
