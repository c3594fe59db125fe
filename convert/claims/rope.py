"""The tables of rotary embeddings in config.json: kinds that no fixed graph can express, and numbers that nobody reads."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from ...core.errors import CheckpointError
from ..families.traced import SCALES_QUERIES
from ..program.rope import kind_of, tables

_ALWAYS = {
    "rope_type",
    "type",
    "rope_theta",
    "partial_rotary_factor",
    "mrope_section",
    "mrope_interleaved",
    "finetuned",
}
_YARN = {"factor", "original_max_position_embeddings", "attention_factor", "beta_fast", "beta_slow", "mscale", "mscale_all_dim",
         "truncate"}  # fmt: skip
_LONG = {"factor", "original_max_position_embeddings", "attention_factor", "short_factor", "long_factor", "short_mscale",
         "long_mscale"}  # fmt: skip
_READ: dict[str, set[str]] = {
    "default": set(),
    "mrope": set(),
    "linear": {"factor"},
    "dynamic": {
        "factor",
        "alpha",
        "original_max_position_embeddings",
        "beta_fast",
        "beta_slow",
        "mscale",
        "mscale_all_dim",
    },
    "llama3": {"factor", "low_freq_factor", "high_freq_factor", "original_max_position_embeddings"},
    "yarn": _YARN,
    "longrope": _LONG,
    "su": _LONG,
}
"""Kind → the numbers that transformers reads of its table."""
_STRETCHING = {"factor", "attention_factor", "llama_4_scaling_beta", "alpha"}
"""Numbers that change positions or scores wherever they are meant."""


def refuse_varying(table: dict[str, Any], prefix: str) -> tuple[str, ...]:
    """Refuse frequencies that follow the length of a text.

    Those of a constant `alpha` (Hunyuan) follow it only where no text should be: a sentence for the plan says so.

    Raises:
        CheckpointError: with the length up to which the scaling changes nothing.
    """
    for where, rope in tables(table):
        if str(kind_of(rope)) != "dynamic":
            continue
        longest = table.get("max_position_embeddings")
        length = f"{longest:,} positions" if isinstance(longest, int) else "the length that it was trained for"
        if rope.get("alpha"):
            return (
                f"Right up to {length}: beyond, where the model was not trained, transformers' rotary embedding becomes another, "
                "and the graph's does not.",
            )
        raise CheckpointError(
            f"config.json states a rotary embedding of the kind 'dynamic' ({prefix}{where}), whose frequencies depend on how "
            f"long a text is beyond {length}. No graph that is written here can do that.",
            f"Up to {length} it changes nothing: to convert the model for texts no longer than that, {_without(where)}.",
        )
    return ()


def _without(where: str) -> str:
    """Say how to take a scaling out; transformers 5 keeps the base of the frequencies in the same table."""
    if where == "rope_scaling":
        return "take rope_scaling out of config.json"
    return f'set "rope_type": "default" in {where} of config.json, and take factor out'


def unread(table: dict[str, Any], prefix: str, reader: str, reads: Collection[str] | None) -> list[str]:
    """Return the numbers that nobody reads, by their full names.

    Raises:
        CheckpointError: one changes what the model computes.
    """
    left = []
    for where, rope in tables(table):
        kind = str(kind_of(rope))
        if kind not in _READ:
            continue  # a kind of the family's own, or one that every reader refuses by its name
        known = _READ[kind] | _ALWAYS
        if not _kinds(table).isdisjoint(SCALES_QUERIES):
            known = known | {"llama_4_scaling_beta"}
        partial = rope.get("partial_rotary_factor")
        if partial not in (None, 1) and reads is not None and "partial_rotary_factor" not in reads:
            raise _refused(f"{prefix}{where}.partial_rotary_factor", partial, "rotates a part of each head", reader)
        for name, value in rope.items():
            if name in known or value is None or isinstance(value, dict):
                continue
            if name in _STRETCHING and value not in (0, 1):
                raise _refused(
                    f"{prefix}{where}.{name}", value, f"means nothing to the kind {kind!r} that it states", reader
                )
            left.append(f"{prefix}{where}.{name}")
    return left


def _kinds(table: dict[str, Any]) -> set[str]:
    """Return the type that a config states, and that of the language model whose fields stand beside its own."""
    text = table.get("text_config")
    stated = (table.get("model_type"), text.get("model_type") if isinstance(text, dict) else None)
    return {kind for kind in stated if isinstance(kind, str)}


def _refused(field: str, value: Any, what: str, reader: str) -> CheckpointError:
    return CheckpointError(
        f"config.json states {field} = {value}, which {what}, and {reader} does not read it: what would be written is another "
        "model.",
        "Repair config.json: a kind of scaling is named by rope_type.",
    )
