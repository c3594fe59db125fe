"""Qwen 3.5, text: three layers of the gated delta rule to one of gated attention; a quarter of each head is rotated.

The checkpoint stores the norms' weights minus one, but for that of the delta rule's output. A text counts its positions once, so
the sections of the rotary embedding for pictures (mrope_section) fall together.
Sources: `transformers/models/qwen3_5/`; `src/models/qwen35.cpp` of llama.cpp (`delta_gguf`).
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ..program import delta_gguf
from ..program.decoder import Decoder
from ..program.delta_gguf import FULL, INTERVAL, LINEAR
from ..program.gguf_spec import Gguf
from ..program.mixers import GatedDelta
from ..program.reading import Reader, UnsupportedArchitecture, contradicting, whole, wrong
from ..program.spec import Family


def layer_kinds(read: Reader) -> list[str]:
    """Return the kind of each layer. Raises CheckpointError or UnsupportedArchitecture."""
    layers, kinds = read.layers(), read.config.get("layer_types")
    if kinds is None:
        every = whole(read.config.get("full_attention_interval", INTERVAL), "full_attention_interval")
        return [LINEAR if (layer + 1) % every else FULL for layer in range(layers)]
    if not isinstance(kinds, list):
        raise wrong("layer_types", kinds, "a list")
    if len(kinds) != layers:
        raise contradicting(f"layer_types states kinds for {len(kinds)} layers, and there are {layers}")
    if odd := {str(kind) for kind in kinds} - {LINEAR, FULL}:
        raise UnsupportedArchitecture(f"some of its layers are of the kind {min(odd)!r}")
    return kinds


def described(read: Reader, decoder: Decoder, *, by_key: bool = False) -> Decoder:
    """Give each layer its mixer, and attention its gate; `by_key` as of `GatedDelta`."""
    keys, heads = read.size("linear_num_key_heads"), read.size("linear_num_value_heads")
    if heads % keys:
        raise contradicting(f"{heads} linear_num_value_heads cannot share {keys} linear_num_key_heads evenly")
    rule = GatedDelta(
        keys,
        read.size("linear_key_head_dim"),
        heads,
        read.size("linear_value_head_dim"),
        read.size("linear_conv_kernel_dim"),
        decoder.rms_norm_eps,
        by_key,
    )
    if decoder.activation != "silu":
        raise UnsupportedArchitecture(f"its convolutions are followed by {decoder.activation}")
    if read.config.get("attn_output_gate") is False:  # which transformers does not read: its attention always has gates
        raise UnsupportedArchitecture("attn_output_gate is false, and no attention without gates was seen")
    mixers = tuple(rule if kind == LINEAR else None for kind in layer_kinds(read))
    return replace(decoder, mixers=mixers if any(mixers) else (), gated=True)


DEFAULTS: dict[str, Any] = {
    "vocab_size": 248320,
    "hidden_size": 4096,
    "intermediate_size": 12288,
    "num_hidden_layers": 32,
    "num_attention_heads": 16,
    "num_key_value_heads": 4,
    "head_dim": 256,
    "hidden_act": "silu",
    "rms_norm_eps": 1e-06,
    "rope_theta": 10_000.0,
    "partial_rotary_factor": 0.25,
    "max_position_embeddings": 32768,
    "tie_word_embeddings": False,
    "attention_bias": False,
    "linear_conv_kernel_dim": 4,
    "linear_key_head_dim": 128,
    "linear_value_head_dim": 128,
    "linear_num_key_heads": 16,
    "linear_num_value_heads": 32,
}

FAMILY = Family(
    "qwen3_5_text",
    "Qwen3_5ForCausalLM",
    DEFAULTS,
    partial_rotary=True,
    qk_norm=True,
    norm_offset=1.0,
    may_slide=False,
    details=described,
    within=frozenset(["qwen3_5"]),
    also_reads=frozenset(
        ["layer_types", "full_attention_interval", "attn_output_gate", "mamba_ssm_dtype", "mlp_only_layers"]
    ),
    gguf=Gguf(
        "qwen35",
        names=delta_gguf.NAMES,
        held=delta_gguf.held,
        output_bias=False,
        norm_offset=1.0,
        keys=delta_gguf.sectioned,
        reads=delta_gguf.READS,
        to_config=delta_gguf.to_config,
    ),
)
