"""EXAONE 4: norms behind attention and MLP alone, norms of q and k; where some layers have windows, the others have no rope.

Sources: `transformers/models/exaone4/`; `src/models/exaone4.cpp` and `conversion/exaone.py` of llama.cpp.
"""

from __future__ import annotations

from dataclasses import replace

from ..gguf_values import Value
from ..program.decoder import Decoder, Norms
from ..program.gguf_spec import Gguf
from ..program.reading import Config, Reader, UnsupportedArchitecture
from ..program.spec import Family
from ..program.windows import SLIDING, layer_kinds
from .llama import common

_BIGGEST = 64
"""Layers of the model (32B) that llama.cpp gives windows, whatever a file says."""


def _described(read: Reader, decoder: Decoder) -> Decoder:
    if read.config.get("sliding_window", read.defaults["sliding_window"]) is None:
        return decoder
    rotated = (kind == SLIDING for kind in layer_kinds(read, FAMILY.full_every))
    return replace(decoder, ropes=tuple(decoder.rope if yes else None for yes in rotated))


def _keys(config: Config, decoder: Decoder) -> dict[str, Value]:
    """Return no keys; llama.cpp's graph has windows for the model of 64 layers alone, and b9190 of May 2026 errs there."""
    if decoder.ropes or decoder.num_layers == _BIGGEST:
        raise UnsupportedArchitecture("some of its layers have windows and others no rotary embedding")
    return {}


FAMILY = Family(
    "exaone4",
    "Exaone4ForCausalLM",
    common(without=("attention_bias", "mlp_bias"), num_key_value_heads=32, rms_norm_eps=1e-05, sliding_window=4096),
    qkv_bias=False,
    output_bias=False,
    qk_norm=True,
    norms=Norms(None, "post_attention_layernorm", None, "post_feedforward_layernorm"),
    full_every=4,
    also_reads=frozenset(["sliding_window_pattern"]),
    details=_described,
    gguf=Gguf(
        "exaone4",
        keys=_keys,
        output_bias=False,
        to_config=lambda file, keys: {
            "sliding_window": None,
            "layer_types": ["full_attention"] * keys.size("block_count"),
        },
    ),
)
