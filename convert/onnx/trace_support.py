"""Which model types the ONNX trace engine takes, decided from config.json alone: importing transformers takes seconds."""

from __future__ import annotations

from typing import Any

from ..claims import native
from ..families.traced import RECURRENT, TRACED
from ..program.rope import kind_of, tables

__all__ = ["RECURRENT", "TRACED", "refusal"]

_EXPERTS = ("num_local_experts", "num_experts", "n_routed_experts", "moe_num_experts", "ffn_config")
_VARYING = {"dynamic", "longrope", "su"}
"""Kinds of rotary embeddings whose frequencies transformers chooses by the largest position."""
_PARTS = ("vision_config", "audio_config", "text_config", "encoder")


def refusal(config: dict[str, Any], *, asked: bool) -> tuple[str, str] | None:
    """Return a reason and a hint, each a sentence, if the engine cannot take a checkpoint with this config.json; else None.

    `asked`: the user named the engine, which may then be tried on a type that is not in the table.
    """
    kind = config["model_type"]
    wrong = _impossible(config)
    if wrong or kind in TRACED or (asked and native.generates(kind)):
        return wrong
    if not native.generates(kind):
        hint = "Code that comes with a checkpoint is never run for ONNX."
        return f"transformers has no causal language model for model_type {kind!r}", hint
    return (
        f"the graph of {kind} has not been seen to agree with torch",
        "--engine trace tries it all the same: then measure it with --validate.",
    )


def _impossible(config: dict[str, Any]) -> tuple[str, str] | None:
    kind = config["model_type"]
    found = None
    if config.get("is_encoder_decoder"):
        found = f"{kind} is an encoder-decoder, and only decoders can be traced"
    elif kind in RECURRENT:
        found = f"{kind} keeps a state besides keys and values, for which edgeconv has no ONNX graph"
    elif any(isinstance(config.get(key), dict) for key in _PARTS):
        found = f"{kind} takes more than text, and the ONNX trace engine exports text models"
    elif any(_is_many(config.get(key)) for key in _EXPERTS):
        found = f"{kind} is a mixture of experts, of which the ONNX trace engine makes no graph"
    elif kinds := _ropes(config) & _VARYING:
        found = f"transformers asks how long the text is for its rotary embedding ({min(kinds)}), and torch exports no branch"
    return (found, "") if found else None


def _ropes(config: dict[str, Any]) -> set[str]:
    """Return the kinds of rotary embeddings, which some families state for each kind of layer."""
    return {str(kind_of(table)) for _, table in tables(config)}


def _is_many(value: Any) -> bool:
    return isinstance(value, dict) or (type(value) is int and value > 1)
