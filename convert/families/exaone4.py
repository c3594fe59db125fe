"""EXAONE 4: norms behind attention and MLP alone, norms of q and k; where some layers have windows, the others have no rope.

Sources: `transformers/models/exaone4/`; `src/models/exaone4.cpp` and `conversion/exaone.py` of llama.cpp.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ..gguf_values import Value, u32
from ..program.decoder import Decoder
from ..program.description import Norms
from ..program.gguf_spec import Gguf, GgufKeys, GgufTensors
from ..program.reading import Config, Reader, UnsupportedArchitecture
from ..program.spec import Family
from ..program.windows import FULL, SLIDING, layer_kinds
from .llama import common

_BIGGEST, _EVERY = 64, 4
"""Layers of the model (32B) that llama.cpp gives windows, whatever a file says, and how many of them to one that sees all."""


def _described(read: Reader, decoder: Decoder) -> Decoder:
    if read.config.get("sliding_window", read.defaults["sliding_window"]) is None:
        return decoder
    rotated = (kind == SLIDING for kind in layer_kinds(read, FAMILY.full_every))
    return replace(decoder, ropes=tuple(decoder.rope if yes else None for yes in rotated))


def _keys(config: Config, decoder: Decoder) -> dict[str, Value]:
    """Return the window; llama.cpp's graph has windows in a model of 64 layers, and in no other."""
    if bool(decoder.ropes) != (decoder.num_layers == _BIGGEST):
        raise UnsupportedArchitecture(
            f"it has {decoder.num_layers} layers, {'some' if decoder.ropes else 'none'} with a window, and llama.cpp's exaone4 "
            f"has windows in a model of {_BIGGEST} layers, and in no other"
        )
    if not decoder.ropes:
        return {}
    if any((rope is None) != ((layer + 1) % _EVERY == 0) for layer, rope in enumerate(decoder.ropes)):
        raise UnsupportedArchitecture("its layers without a window are not each fourth one, as in llama.cpp's exaone4")
    return {"attention.sliding_window": u32(FAMILY.reader(config).size("sliding_window"))}


def _to_config(file: GgufTensors, keys: GgufKeys) -> dict[str, Any]:
    layers = keys.size("block_count")
    if layers != _BIGGEST:
        return {"sliding_window": None, "layer_types": [FULL] * layers}
    kinds = [FULL if (layer + 1) % _EVERY == 0 else SLIDING for layer in range(layers)]
    return {"sliding_window": keys.size("attention.sliding_window", 4096), "layer_types": kinds}


FAMILY = Family(
    "exaone4",
    "Exaone4ForCausalLM",
    common(without=("attention_bias", "mlp_bias"), num_key_value_heads=32, rms_norm_eps=1e-05, sliding_window=4096),
    qkv_bias=False,
    output_bias=False,
    qk_norm=True,
    norms=Norms(None, "post_attention_layernorm", None, "post_feedforward_layernorm"),
    full_every=_EVERY,
    also_reads=frozenset(["sliding_window_pattern"]),
    details=_described,
    gguf=Gguf(
        "exaone4",
        square_heads=True,
        rope_factors=True,
        windows=True,
        keys=_keys,
        output_bias=False,
        reads=frozenset(["attention.sliding_window"]),
        to_config=_to_config,
    ),
)
