"""Granite 3 with experts: its factors, and two tensors for all experts of a layer, gate and up in one.

Sources: `transformers/models/granitemoe/`; `src/models/granite.cpp` and `conversion/granite.py` of llama.cpp.
"""

from __future__ import annotations

from dataclasses import replace

from ..derived import AS_IS
from ..program.decoder import Decoder
from ..program.experts import COUNTS, GATE, UP, Experts, Stored, read_count
from ..program.gguf_spec import Gguf
from ..program.reading import Reader
from ..program.spec import Family
from .granite import FACTORS, described, keys
from .llama import common

STORED = Stored(
    module="block_sparse_moe",
    router="block_sparse_moe.router.layer",
    whole={
        "gate": ("block_sparse_moe.input_linear.weight", GATE),
        "up": ("block_sparse_moe.input_linear.weight", UP),
        "down": ("block_sparse_moe.output_linear.weight", AS_IS),
    },
)


def _described(read: Reader, decoder: Decoder) -> Decoder:
    used, width = read.size("num_experts_per_tok"), decoder.intermediate_size
    experts = Experts(read_count(read), used, width, stored=STORED, late=True)
    return replace(described(read, decoder), experts=(experts,) * decoder.num_layers)


FAMILY = Family(
    "granitemoe",
    "GraniteMoeForCausalLM",
    common(without=("mlp_bias", "head_dim"), **dict.fromkeys(FACTORS, 1.0), num_local_experts=8, num_experts_per_tok=2)
    | {"head_dim": None},
    experts=STORED,
    details=_described,
    also_reads=COUNTS,
    gguf=Gguf("granitemoe", permute_qk=True, rope_factors=True, output_bias=False, keys=keys),
)
