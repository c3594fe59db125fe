"""MiniCPM (1B, 2B) and MiniCPM4: Llama's block with scaled embeddings, residuals and logits, as Granite has them.

Sources: `configuration_minicpm.py` and `modeling_minicpm.py` of openbmb/MiniCPM-2B-sft-bf16 and openbmb/MiniCPM4-8B (read,
never run); `conversion/minicpm.py` of llama.cpp.
"""

from __future__ import annotations

import math

from ...core.errors import CheckpointError
from ..families import granite
from ..program.reading import contradicting, positive, whole
from ..program.rope import kind_of
from .maker import Maker, Native, Table, without_dynamic

_ROPES = ("default", "linear", "dynamic", "longrope")
_REFUSED = {
    "num_experts": "layers with experts (MiniCPM-MoE)",
    "sparse_config": "attention that leaves blocks of the text out (InfLLM)",
}


def _granite(config: Table) -> Native:
    for key, what in _REFUSED.items():
        if config.get(key):
            raise CheckpointError(
                f"config.json states {key}, for {what}, which is not converted.", "Take a dense checkpoint of MiniCPM."
            )
    hidden, heads = config["hidden_size"], config["num_attention_heads"]
    if hidden % heads:
        raise contradicting(f"{hidden} dimensions are not shared by {heads} heads evenly")
    embeddings, base, depth = (positive(config.pop(key), key) for key in ("scale_emb", "dim_model_base", "scale_depth"))
    config.pop("mup_denominator", None)  # of a draft model's training
    config, notes = without_dynamic(config, _ROPES)
    factors = {
        "embedding_multiplier": embeddings,
        "residual_multiplier": depth / math.sqrt(config["num_hidden_layers"]),
        "logits_scaling": hidden / base,
        "attention_multiplier": (hidden // heads) ** -0.5,
    }
    config, more = _always_long(config)
    return Native(granite.FAMILY, config | factors | {"mlp_bias": False}, notes=(*notes, *more))


def _always_long(config: Table) -> tuple[Table, tuple[str, ...]]:
    """Take the long factors for all texts where the makers' code does.

    It makes its tables for max_position_embeddings at once, and so takes the long factors wherever that is more than the original
    length; transformers looks at each text.
    """
    table = config.get("rope_scaling")
    if not table or kind_of(table) != "longrope":
        return config, ()
    longest = whole(config.get("max_position_embeddings"), "max_position_embeddings")
    if longest <= whole(table.get("original_max_position_embeddings"), "rope_scaling.original_max_position_embeddings"):
        return config, ()
    return config | {"rope_scaling": table | {"short_factor": table.get("long_factor")}}, (
        "The long factors of its rotary embedding hold for all texts, as in MiniCPM's own code.",
    )


MINICPM = Maker(
    "MiniCPM",
    {
        "num_key_value_heads": None,
        "hidden_act": "silu",
        "max_position_embeddings": 2048,
        "rms_norm_eps": 1e-06,
        "rope_theta": 10000.0,
        "tie_word_embeddings": True,
        "attention_bias": False,
        "scale_emb": 1,
        "dim_model_base": 1,
        "scale_depth": 1,
    },
    _granite,
)
