"""LFM2 MoE: LFM2's layers, with experts in the place of the MLP behind the first few.

Sources: `transformers/models/lfm2_moe/`; `src/models/lfm2.cpp` and `conversion/lfm2.py` of llama.cpp, whose graph divides the
chosen experts' scores by their sum and multiplies them by nothing.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ..derived import AS_IS
from ..gguf_values import Value, u32
from ..program.decoder import Decoder
from ..program.experts import COUNTS, GATE, UP, Experts, Stored, in_layers, read_count
from ..program.gguf_spec import Gguf, GgufKeys, GgufTensors
from ..program.reading import Config, Reader, UnsupportedArchitecture, wrong
from . import lfm2

MODULE = "feed_forward"
JOINED = f"{MODULE}.experts.gate_up_proj"
STORED = Stored(
    MODULE,
    f"{MODULE}.gate",
    each={
        role: f"{MODULE}.experts.{{}}.{name}.weight" for role, name in (("gate", "w1"), ("up", "w3"), ("down", "w2"))
    },
    whole={"gate": (JOINED, GATE), "up": (JOINED, UP), "down": (f"{MODULE}.experts.down_proj", AS_IS)},
)
SIGMOID = 2
"""`expert_gating_func` of llama.cpp."""


def _dense(read: Reader) -> int:
    """Return how many layers at the front have a dense MLP."""
    count = read.get("num_dense_layers")
    if type(count) is not int or count < 0:
        raise wrong("num_dense_layers", count, "a whole number")
    return count


def _described(read: Reader, decoder: Decoder) -> Decoder:
    if read.config.get("layer_types") is None:  # transformers has no default here
        raise wrong("layer_types", None, "a list")
    experts = Experts(
        count=read_count(read),
        used=read.size("num_experts_per_tok"),
        width=read.size("moe_intermediate_size"),
        stored=STORED,
        scores="sigmoid",
        normalized=bool(read.get("norm_topk_prob")),
        factor=read.number("routed_scaling_factor"),
        correction=f"{MODULE}.expert_bias" if read.get("use_expert_bias") else None,
    )
    sparse = [layer >= _dense(read) for layer in range(decoder.num_layers)]
    tied = bool(read.config.get("tie_embedding", decoder.tied))
    return lfm2.described(read, replace(decoder, tied=tied, experts=in_layers(experts, sparse)))


def _keys(config: Config, decoder: Decoder) -> dict[str, Value]:
    """Return how experts are chosen, and which layers have none; refuse what llama.cpp's graph computes otherwise."""
    experts = [one for one in decoder.experts if one]
    if not experts or not experts[0].normalized or experts[0].factor != 1 or not experts[0].correction:
        raise UnsupportedArchitecture(
            "its experts' scores are not divided by their sum, are multiplied, or have no bias, unlike llama.cpp's lfm2moe"
        )
    dense = decoder.num_layers - len(experts)
    own = {"expert_gating_func": u32(SIGMOID), "leading_dense_block_count": u32(dense)}
    return {**lfm2.keys(config, decoder), **own}


def _to_config(file: GgufTensors, keys: GgufKeys) -> dict[str, Any]:
    return {
        **lfm2.to_config(file, keys),
        "num_experts": keys.size("expert_count"),
        "num_experts_per_tok": keys.size("expert_used_count"),
        "moe_intermediate_size": keys.size("expert_feed_forward_length"),
        "num_dense_layers": int(keys.get("leading_dense_block_count") or 0),
        "norm_topk_prob": True,
        "routed_scaling_factor": 1.0,
        "use_expert_bias": True,
    }


FAMILY = replace(
    lfm2.FAMILY,
    model_type="lfm2_moe",
    architecture="Lfm2MoeForCausalLM",
    defaults={key: value for key, value in lfm2.DEFAULTS.items() if not key.startswith("block_")}
    | {
        "hidden_size": 2048,
        "intermediate_size": 7168,
        "moe_intermediate_size": 1792,
        "num_dense_layers": 2,
        "num_experts": 32,
        "num_experts_per_tok": 4,
        "use_expert_bias": True,
        "routed_scaling_factor": 1.0,
        "norm_topk_prob": True,
    },
    experts=STORED,
    details=_described,
    also_reads=COUNTS | {"layer_types", "tie_embedding"},
    gguf=Gguf(
        "lfm2moe",
        names=lfm2.GGUF_NAMES,
        output_bias=False,
        keys=_keys,
        reads=lfm2.GGUF_READS
        | {
            "expert_count",
            "expert_used_count",
            "expert_feed_forward_length",
            "expert_gating_func",
            "leading_dense_block_count",
        },
        rope_base=1_000_000.0,
        to_config=_to_config,
    ),
)
