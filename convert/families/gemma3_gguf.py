"""Gemma 3 in llama.cpp's terms.

Sources: `src/models/gemma3.cpp` and `conversion/gemma.py` of llama.cpp. The converter there assumes that each sixth layer is
global; we state the pattern where it is another, which llama.cpp reads since 2026 (b9190 of May does not yet).

llama.cpp computes this GELU from a table of float16 values, so that its logits differ from those of transformers by some
thousandths even in float32.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ..gguf_values import Kind, Value, array, f32, u32
from ..program.decoder import Decoder
from ..program.gguf_spec import GELU_BUDGETS, Gguf, GgufKeys, GgufTensors
from ..program.reading import Config, Reader, UnsupportedArchitecture
from .gemma3_fields import DEFAULTS, GLOBAL_BASE, LOCAL_BASE, PATTERN, WINDOW, ropes

_BIGGEST = 62
"""Layers of the model (27B) whose scores llama.cpp's graph scales by width by heads, not by the head's width."""
_PATTERN_NOTE = (
    f"Its global layers are not every {PATTERN}th one: a llama.cpp that does not read attention.sliding_window_pattern here "
    "(b9190 of May 2026) computes another model.",
)


def _flatten(config: Config) -> Config:
    return {**config, "rope_scaling": None, "rope_parameters": ropes(Reader(config, DEFAULTS))[1]}


def _keys(config: Config, decoder: Decoder) -> dict[str, Value]:
    """Return windows, the local base and the cap; refuse what llama.cpp's graph computes otherwise."""
    read = Reader(config, DEFAULTS)
    _require_scale(read, decoder)
    if read.get("attention_bias") or config.get("use_bidirectional_attention") or config.get("attn_logit_softcapping"):
        raise UnsupportedArchitecture(
            "it has biases, caps scores or looks ahead in attention, which llama.cpp's gemma3 does not"
        )
    cap = config.get("final_logit_softcapping")
    capped = {"final_logit_softcapping": f32(float(cap))} if cap else {}
    return {**_windows(read, decoder), "rope.freq_base_swa": f32(ropes(read)[0]), **capped}


def _require_scale(read: Reader, decoder: Decoder) -> None:
    by_heads = decoder.num_layers == _BIGGEST
    wanted = decoder.hidden_size // decoder.num_heads if by_heads else decoder.head_dim
    stated = read.get("query_pre_attn_scalar")
    if stated != wanted:
        raise UnsupportedArchitecture(f"query_pre_attn_scalar is {stated}, where llama.cpp computes with {wanted}")


def _windows(read: Reader, decoder: Decoder) -> dict[str, Value]:
    """Return window and pattern; a model whose layers are all global has a window of 0."""
    config, layers = read.config, range(decoder.num_layers)
    every = config.get("sliding_window_pattern") or PATTERN
    kinds = config.get("layer_types") or [
        "full_attention" if (layer + 1) % every == 0 else "sliding_attention" for layer in layers
    ]
    local = [kind == "sliding_attention" for kind in kinds]
    if len(local) != decoder.num_layers or set(kinds) - {"sliding_attention", "full_attention"}:
        raise UnsupportedArchitecture(
            f"config.json states layer_types {sorted(set(kinds))} for {len(kinds)} layers", "Repair config.json."
        )
    if not any(local):
        return {"attention.sliding_window": u32(0)}
    keys = {"attention.sliding_window": u32(read.size("sliding_window"))}
    if local != [(layer + 1) % PATTERN != 0 for layer in layers]:
        keys["attention.sliding_window_pattern"] = array(Kind.BOOL, local)
    return keys


def _notes(keys: Mapping[str, Value]) -> tuple[str, ...]:
    return _PATTERN_NOTE if "attention.sliding_window_pattern" in keys else ()


def _to_config(file: GgufTensors, keys: GgufKeys) -> dict[str, Any]:
    """Return windows and scale, which llama.cpp takes from the model's sizes."""
    layers, heads = keys.size("block_count"), keys.size("attention.head_count")
    width = keys.size("embedding_length") // heads
    window, pattern = keys.get("attention.sliding_window"), keys.get("attention.sliding_window_pattern")
    every = pattern if type(pattern) is int and pattern > 0 else PATTERN
    local = list(pattern) if isinstance(pattern, np.ndarray) else [(layer + 1) % every != 0 for layer in range(layers)]
    cap = keys.get("final_logit_softcapping")
    return {
        "query_pre_attn_scalar": width if layers == _BIGGEST else keys.size("attention.key_length", width),
        "sliding_window": window or WINDOW,
        "layer_types": ["sliding_attention" if window and yes else "full_attention" for yes in local],
        "rope_local_base_freq": keys.number("rope.freq_base_swa", LOCAL_BASE),
        "attention_bias": False,
        "final_logit_softcapping": keys.number("final_logit_softcapping") if cap else None,
    }


GGUF = Gguf(
    "gemma3",
    activation="gelu_pytorch_tanh",
    windows=True,
    norm_offset=1.0,
    flatten=_flatten,
    keys=_keys,
    notes=_notes,
    reads=frozenset(
        [
            "attention.sliding_window", "attention.sliding_window_pattern", "rope.freq_base_swa",
            "final_logit_softcapping",
        ]
    ),
    rope_base=GLOBAL_BASE,
    to_config=_to_config,
    budgets={
        "decode": (0.05, "two runs through that table: 0.027 was measured of Gemma 3 270M"),
        **GELU_BUDGETS,
    },)  # fmt: skip
