"""LFM2: gated short convolutions, and attention in some layers; its modules have names of their own.

Sources: `transformers/models/lfm2/`; `src/models/lfm2.cpp` and `conversion/lfm2.py` of llama.cpp.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from ..gguf_values import Kind, Value, array, u32
from ..program.decoder import Decoder
from ..program.description import Names, Norms
from ..program.gguf_spec import Gguf, GgufKeys, GgufTensors
from ..program.mixers import ShortConv
from ..program.reading import Config, Reader, UnsupportedArchitecture, contradicting, positive, whole, wrong
from ..program.spec import Family

CONV, FULL = "conv", "full_attention"


def _inner(read: Reader) -> int:
    """Return the width of the MLP: two thirds of what is stated, by a factor, up to a whole number of blocks."""
    stated = read.config.get("block_ff_dim") or read.get("intermediate_size")
    inner = whole(stated, "intermediate_size")
    if not read.get("block_auto_adjust_ff_dim"):
        return inner
    inner = int(2 * inner / 3)
    if read.get("block_ffn_dim_multiplier") is not None:
        block = whole(read.get("block_multiple_of"), "block_multiple_of")
        inner = int(positive(read.get("block_ffn_dim_multiplier"), "block_ffn_dim_multiplier") * inner)
        inner = -(-inner // block) * block
    return whole(inner, f"intermediate_size, of the {stated} that is stated,")


def layer_kinds(read: Reader) -> list[str]:
    """Return the kind of each layer. Raises CheckpointError or UnsupportedArchitecture."""
    layers, kinds = read.layers(), read.config.get("layer_types")
    if kinds is None:
        attending = read.config.get("full_attn_idxs")
        attending = range(layers) if attending is None else attending
        if not isinstance(attending, list | range):
            raise wrong("full_attn_idxs", attending, "a list")
        return [FULL if layer in attending else CONV for layer in range(layers)]
    if not isinstance(kinds, list):
        raise wrong("layer_types", kinds, "a list")
    if len(kinds) != layers:
        raise contradicting(f"layer_types states kinds for {len(kinds)} layers, and there are {layers}")
    if odd := {str(kind) for kind in kinds} - {CONV, FULL}:
        raise UnsupportedArchitecture(f"some of its layers are of the kind {min(odd)!r}")
    return kinds


def described(read: Reader, decoder: Decoder) -> Decoder:
    """Give each layer its mixer."""
    conv = ShortConv(decoder.hidden_size, whole(read.get("conv_L_cache"), "conv_L_cache"), bool(read.get("conv_bias")))
    mixers = tuple(conv if kind == CONV else None for kind in layer_kinds(read))
    return replace(decoder, mixers=mixers if any(mixers) else ())


def _described(read: Reader, decoder: Decoder) -> Decoder:
    tied = read.config.get("tie_embedding", decoder.tied)
    return described(read, replace(decoder, intermediate_size=_inner(read), tied=bool(tied)))


DEFAULTS: dict[str, Any] = {
    "vocab_size": 65536,
    "hidden_size": 2560,
    "intermediate_size": 12288,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "head_dim": None,
    "rms_norm_eps": 1e-05,
    "rope_theta": 1_000_000.0,
    "max_position_embeddings": 128_000,
    "tie_word_embeddings": True,
    "conv_bias": False,
    "conv_L_cache": 3,
    "block_multiple_of": 256,
    "block_ffn_dim_multiplier": 1.0,
    "block_auto_adjust_ff_dim": True,
}
NAMES = Names("self_attn.out_proj", "feed_forward.w1", "feed_forward.w3", "feed_forward.w2", "model.embedding_norm")
NORMS = Norms(before_attention="operator_norm", before_mlp="ffn_norm")
NORMS_OF_QK = ("q_layernorm", "k_layernorm")


def keys(config: Config, decoder: Decoder) -> dict[str, Value]:
    """Return the length of the convolutions, and the layers that attend as those that have keys; refuse biases."""
    convs = [mixer for mixer in decoder.mixers if isinstance(mixer, ShortConv)]
    if not convs or convs[0].bias:
        raise UnsupportedArchitecture("it has no convolutions, or biases in them, where llama.cpp's lfm2 has")
    heads = [0 if decoder.mixer_of(layer) else decoder.num_kv_heads for layer in range(decoder.num_layers)]
    return {"attention.head_count_kv": array(Kind.I32, heads), "shortconv.l_cache": u32(convs[0].taps)}


def to_config(file: GgufTensors, keys: GgufKeys) -> dict[str, Any]:
    """Return the kinds of layers, by the layers that have keys."""
    heads = keys.get("attention.head_count_kv")
    heads = list(heads) if isinstance(heads, np.ndarray) else [heads] * keys.size("block_count")
    return {
        "layer_types": [FULL if one else CONV for one in heads],
        "conv_L_cache": keys.size("shortconv.l_cache"),
        "conv_bias": False,
    }


GGUF_NAMES = {
    "conv.conv": "shortconv.conv",
    "conv.in_proj": "shortconv.in_proj",
    "conv.out_proj": "shortconv.out_proj",
    "self_attn.out_proj": "attn_output",
    "self_attn.q_layernorm": "attn_q_norm",
    "self_attn.k_layernorm": "attn_k_norm",
    "feed_forward.w1": "ffn_gate",
    "feed_forward.w2": "ffn_down",
    "feed_forward.w3": "ffn_up",
    "model.embedding_norm": "token_embd_norm",
}
"""llama.cpp calls the last norm by a place where there is none."""
GGUF_READS = frozenset(["shortconv.l_cache"])

FAMILY = Family(
    "lfm2",
    "Lfm2ForCausalLM",
    DEFAULTS,
    aliases={"norm_eps": "rms_norm_eps"},
    activation="silu",
    qkv_bias=False,
    output_bias=False,
    qk_norm=True,
    qk_norm_names=NORMS_OF_QK,
    names=NAMES,
    norms=NORMS,
    may_slide=False,
    details=_described,
    also_reads=frozenset(["layer_types", "full_attn_idxs", "tie_embedding", "block_ff_dim"]),
    gguf=Gguf(
        "lfm2",
        names=GGUF_NAMES,
        output_bias=False,
        keys=keys,
        reads=GGUF_READS,
        rope_base=1_000_000.0,
        to_config=lambda file, keys: {**to_config(file, keys), "block_auto_adjust_ff_dim": False},
    ),
)
