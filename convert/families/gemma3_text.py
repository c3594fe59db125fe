"""Gemma 3, text: four norms a block, local and global layers with ropes of their own.

The checkpoint stores the norms' weights minus one. Source: `transformers/models/gemma3/`.
"""

from __future__ import annotations

from dataclasses import replace

from ..program.decoder import Decoder
from ..program.reading import Reader, positive
from ..program.rope import Rope, read_rope
from ..program.spec import Family
from ..program.windows import SLIDING, layer_kinds
from .gemma import NORMS, described
from .gemma3_fields import DEFAULTS, PATTERN, ropes
from .gemma3_gguf import GGUF


def _global_rope(read: Reader, head_dim: int) -> Rope:
    return Rope(positive(ropes(read)[1]["rope_theta"], "rope_theta"), head_dim)


def _described(read: Reader, decoder: Decoder) -> Decoder:
    """Give each layer the rotary embedding of its kind."""
    local, whole = ropes(read)
    scaled = read_rope(FAMILY.reader({**read.config, "rope_scaling": None, "rope_parameters": whole}), decoder.head_dim)
    kinds = layer_kinds(read, PATTERN)
    each = tuple(Rope(local, decoder.head_dim) if kind == SLIDING else scaled for kind in kinds)
    return described(read, replace(decoder, ropes=each))


FAMILY = Family(
    "gemma3_text",
    "Gemma3ForCausalLM",
    DEFAULTS,
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
    gguf=GGUF,
)  # fmt: skip
