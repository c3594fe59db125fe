"""Gemma 3n, text (E2B, E4B): AltUp, LAuReL, sparse gates, inputs of each layer's own, shared keys and values, windows.

Its norms are whole, unlike those of the Gemmas before. Source: `transformers/models/gemma3n/`.
"""

from __future__ import annotations

import math
from dataclasses import replace
from statistics import NormalDist
from typing import Any

from ..program.altup import AltUp
from ..program.attention import Attention, sources
from ..program.decoder import Decoder
from ..program.per_layer import PerLayer
from ..program.reading import Config, Reader, UnsupportedArchitecture, contradicting, whole, wrong
from ..program.rope import Rope, read_rope
from ..program.spec import Family
from ..program.windows import SLIDING, layer_kinds
from .gemma import NORMS, cap
from .gemma3_fields import ropes
from .gemma3n_gguf import GGUF
from .gemma4_text import count

PATTERN = 5
"""Every so many layers one is global, if nothing else is stated."""
_SPARSE, _SHARE = 10, 0.95
"""Layers of a model that has more whose gates are sparse, and the share that is idle, if nothing is stated."""
_WIDTHS = "intermediate_sizes"


def _plain_fields(config: Config) -> Config:
    """Put one width of the MLP in the place of a list; the list stays beside it."""
    widths = config.get("intermediate_size")
    return (
        {**config, "intermediate_size": widths[0], _WIDTHS: widths} if isinstance(widths, list) and widths else config
    )


def _widths(read: Reader, decoder: Decoder) -> tuple[int, ...]:
    stated = read.config.get(_WIDTHS)
    return tuple(whole(width, "intermediate_size") for width in stated) if stated else ()


def _sparsity(read: Reader, layers: int) -> tuple[float | None, ...]:
    """Return how many standard deviations above the mean the share of idle gates ends, layer by layer."""
    key = "activation_sparsity_pattern"
    stated = read.config.get(key)
    if stated is None:
        sparse = _SPARSE if layers > _SPARSE else 0
        stated = [_SHARE] * sparse + [0.0] * (layers - sparse)
    if not isinstance(stated, list) or not all(type(one) in (int, float) and 0 <= one < 1 for one in stated):
        raise wrong(key, stated, "a list of shares below 1")
    if len(stated) != layers:
        raise contradicting(f"{key} states {len(stated)} shares, and there are {layers} layers")
    found = tuple(NormalDist().inv_cdf(share) if share > 0 else None for share in stated)
    return found if any(one is not None for one in found) else ()


def _described(read: Reader, decoder: Decoder) -> Decoder:
    kinds = layer_kinds(read, PATTERN)
    local, table = ropes(read)
    scaled = read_rope(
        Reader({**read.config, "rope_scaling": None, "rope_parameters": table}, read.defaults), decoder.head_dim
    )
    hidden, eps, layers = decoder.hidden_size, decoder.rms_norm_eps, decoder.num_layers
    streams, active = read.size("altup_num_inputs"), count(read, "altup_active_idx")
    if active >= streams:
        raise contradicting(f"altup_active_idx is {active}, and there are {streams} streams")
    if not read.get("altup_correct_scale"):
        raise UnsupportedArchitecture("the output of its AltUp is not scaled")
    width, rows = read.size("hidden_size_per_layer_input"), read.size("vocab_size_per_layer_input")
    window = read.size("sliding_window") if SLIDING in kinds else None
    reads = sources(kinds, count(read, "num_kv_shared_layers"))
    return replace(
        decoder,
        ropes=tuple(Rope(local, decoder.head_dim) if kind == SLIDING else scaled for kind in kinds),
        windows=tuple(window if kind == SLIDING else None for kind in kinds),
        attentions=tuple(Attention(decoder.heads, source, value_norm=True) for source in reads),
        inner_sizes=_widths(read, decoder),
        sparsity=_sparsity(read, layers),
        altup=AltUp(streams, active, hidden, eps),
        laurel_rank=read.size("laurel_rank"),
        per_layer=PerLayer(layers, width, rows, hidden, eps, decoder.activation),
        embedding_scale=math.sqrt(hidden),
        attention_scale=1.0,
        logit_softcap=cap(read, "final_logit_softcapping"),
    )


def _local_rope(read: Reader, head_dim: int) -> Rope:
    return Rope(ropes(read)[0], head_dim)


DEFAULTS: dict[str, Any] = {
    "rope_theta": 1_000_000.0,
    "rope_local_base_freq": 10_000.0,
    "head_dim": 256,
    "vocab_size": 262400,
    "hidden_size": 2048,
    "intermediate_size": 16384,
    "num_hidden_layers": 35,
    "num_attention_heads": 8,
    "num_key_value_heads": 2,
    "rms_norm_eps": 1e-06,
    "hidden_act": "gelu_pytorch_tanh",
    "tie_word_embeddings": True,
    "attention_bias": False,
    "sliding_window": 512,
    "max_position_embeddings": 32768,
    "vocab_size_per_layer_input": 262144,
    "hidden_size_per_layer_input": 256,
    "altup_active_idx": 0,
    "altup_correct_scale": True,
    "altup_num_inputs": 4,
    "num_kv_shared_layers": 15,
    "laurel_rank": 64,
    "final_logit_softcapping": 30.0,
}

FAMILY = Family(
    "gemma3n_text",
    "Gemma3nForCausalLM",
    DEFAULTS,
    qk_norm=True,
    norms=NORMS,
    full_every=PATTERN,
    details=_described,
    aliases={"hidden_activation": "hidden_act"},
    also_reads=frozenset(["activation_sparsity_pattern", "altup_coef_clip", "altup_lr_multiplier"]),
    rope=_local_rope,
    gguf=GGUF,
    within=frozenset(["gemma3n"]),
    vision_prefix=("model.vision_tower.", "model.embed_vision.", "model.audio_tower.", "model.embed_audio."),
    joined={
        "model.altup_projections.weight": "model.altup_projections.{}.weight",
        "model.altup_unembed_projections.weight": "model.altup_unembed_projections.{}.weight",
    },
    plain_fields=_plain_fields,
)
