"""Qwen3-Next: Qwen 3.5's layers, with experts in the place of the MLP; the delta rule's projections are in order of its keys.

Sources: `transformers/models/qwen3_next/`; `src/models/qwen3next.cpp` and `conversion/qwen.py` of llama.cpp, whose graph has
experts in every layer and divides the chosen ones' scores by their sum.
"""

from __future__ import annotations

from dataclasses import replace

from ..gguf_values import Value
from ..program import delta_gguf
from ..program.decoder import Decoder
from ..program.experts import COUNTS, SEPARATE, read_experts, read_shared, require_everywhere
from ..program.gguf_spec import Gguf
from ..program.reading import Config, Reader, UnsupportedArchitecture
from . import qwen3_5_text


def _described(read: Reader, decoder: Decoder) -> Decoder:
    decoder = replace(decoder, experts=read_experts(read, read_shared(read)))
    return qwen3_5_text.described(read, decoder, by_key=True)


def _keys(config: Config, decoder: Decoder) -> dict[str, Value]:
    """Return the delta rule's sizes; refuse experts of which llama.cpp's graph computes others."""
    if not all(one.normalized for one in require_everywhere(decoder.experts, "qwen3next")):
        raise UnsupportedArchitecture(
            "norm_topk_prob is false, and llama.cpp's qwen3next always divides the chosen experts' scores by their sum"
        )
    return delta_gguf.keys(config, decoder)


FAMILY = replace(
    qwen3_5_text.FAMILY,
    model_type="qwen3_next",
    architecture="Qwen3NextForCausalLM",
    defaults=qwen3_5_text.DEFAULTS
    | {
        "vocab_size": 151936,
        "hidden_size": 2048,
        "intermediate_size": 5632,
        "num_hidden_layers": 48,
        "num_key_value_heads": 2,
        "decoder_sparse_step": 1,
        "moe_intermediate_size": 512,
        "shared_expert_intermediate_size": 512,
        "num_experts_per_tok": 10,
        "num_experts": 512,
        "norm_topk_prob": True,
    },
    experts=SEPARATE,
    details=_described,
    within=frozenset(),
    also_reads=qwen3_5_text.FAMILY.also_reads | COUNTS | {"mlp_only_layers"},
    gguf=Gguf(
        "qwen3next",
        names=delta_gguf.NAMES,
        held=delta_gguf.held_by_key,
        split=delta_gguf.split_by_key,
        output_bias=False,
        norm_offset=1.0,
        keys=_keys,
        readable=False,
    ),
)
