"""Gemma 3, text: four norms a block, local and global layers with ropes of their own.

The checkpoint stores the norms' weights minus one; llama.cpp wants them whole.
Sources: `src/models/gemma3.cpp` and `conversion/gemma.py` of llama.cpp. The converter there assumes that each sixth layer is
global; we state the pattern where it is another, which llama.cpp reads since 2026 (b9190 of May does not yet).

llama.cpp computes this GELU from a table of float16 values, so that its logits differ from those of transformers by some
thousandths even in float32.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from ..gguf_values import Kind, Value, array, f32, u32
from ..program.decoder import Decoder
from ..program.gguf_spec import GELU_BUDGETS, Gguf, GgufKeys, GgufTensors
from ..program.reading import Config, Reader, UnsupportedArchitecture, positive, wrong
from ..program.rope import Rope, kind_of, read_rope
from ..program.spec import Family
from ..program.windows import SLIDING, layer_kinds
from .gemma import NORMS, described

PATTERN = 6
"""Every so many layers one is global, if nothing else is stated."""
WINDOW = 4096
LOCAL_BASE, GLOBAL_BASE = 10_000.0, 1_000_000.0
_BIGGEST = 62
"""Layers of the model (27B) whose scores llama.cpp's graph scales by width by heads, not by the head's width."""
_PATTERN_NOTE = (
    f"Its global layers are not every {PATTERN}th one: a llama.cpp that does not read attention.sliding_window_pattern here "
    "(b9190 of May 2026) computes another model.",
)


def ropes(read: Reader) -> tuple[float, dict[str, Any]]:
    """Return the base of local layers, and the parameters of global ones (`Gemma3TextConfig.convert_rope_params_to_dict`)."""
    config = read.config
    parameters = _table(config.get("rope_parameters"), "rope_parameters")
    local = _table(parameters.get("sliding_attention"), "rope_parameters.sliding_attention")
    whole = _table(parameters.get("full_attention"), "rope_parameters.full_attention")
    whole = {**whole, **_table(config.get("rope_scaling"), "rope_scaling")}
    if "rope_theta" not in whole:
        whole["rope_theta"] = read.get("rope_theta")
    if str(kind_of(local)) != "default" or "partial_rotary_factor" in local | whole:
        raise UnsupportedArchitecture("its local layers have scaled rotary embeddings")
    base = local["rope_theta"] if "rope_theta" in local else read.get("rope_local_base_freq")
    return positive(base, "rope_local_base_freq"), whole


def _table(value: Any, name: str) -> dict[str, Any]:
    if not isinstance(value or {}, dict):
        raise wrong(name, value, "a table")
    return value or {}


def _global_rope(read: Reader, head_dim: int) -> Rope:
    return Rope(positive(ropes(read)[1]["rope_theta"], "rope_theta"), head_dim)


def _described(read: Reader, decoder: Decoder) -> Decoder:
    """Give each layer the rotary embedding of its kind."""
    local, whole = ropes(read)
    scaled = read_rope(FAMILY.reader({**read.config, "rope_scaling": None, "rope_parameters": whole}), decoder.head_dim)
    kinds = layer_kinds(read, PATTERN)
    each = tuple(Rope(local, decoder.head_dim) if kind == SLIDING else scaled for kind in kinds)
    return described(read, replace(decoder, ropes=each))


def _flatten(config: Config) -> Config:
    return {**config, "rope_scaling": None, "rope_parameters": ropes(FAMILY.reader(config))[1]}


def _keys(config: Config, decoder: Decoder) -> dict[str, Value]:
    """Return windows, the local base and the cap; refuse what llama.cpp's graph computes otherwise."""
    read = FAMILY.reader(config)
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


FAMILY = Family(
    "gemma3_text",
    "Gemma3ForCausalLM",
    {
        "rope_theta": GLOBAL_BASE,
        "rope_local_base_freq": LOCAL_BASE,
        "head_dim": 256,
        "vocab_size": 262208,
        "hidden_size": 2304,
        "intermediate_size": 9216,
        "num_hidden_layers": 26,
        "num_attention_heads": 8,
        "num_key_value_heads": 4,
        "rms_norm_eps": 1e-06,
        "hidden_act": "gelu_pytorch_tanh",
        "tie_word_embeddings": True,
        "query_pre_attn_scalar": 256,
        "attention_bias": False,
        "sliding_window": WINDOW,
        "max_position_embeddings": 131072,
    },
    qkv_bias=False,
    output_bias=False,
    qk_norm=True,
    norms=NORMS,
    norm_offset=1.0,
    full_every=PATTERN,
    details=_described,
    aliases={"hidden_activation": "hidden_act"},
    also_reads=frozenset(
        ["sliding_window_pattern", "final_logit_softcapping", "attn_logit_softcapping", "use_bidirectional_attention"]
    ),
    rope=_global_rope,
    gguf=Gguf(
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
        },
    ),
)  # fmt: skip
