"""Who reads what config.json states: a field that changes the mathematics and that nobody reads is an error.

require    what no engine and no format can take: a quantized checkpoint, a classifier, attention that looks ahead …
unread     the fields that the reader of a family leaves over: refused, named in a note, or harmless
unused     the tensors that no converted model uses: buffers, and heads that predict further tokens

All engines and formats ask here, and so do `validate` and `doctor`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any

from ...core.errors import CheckpointError
from ..families.traced import ALWAYS_SO
from . import native, purpose, quantized, rope, unused
from .fields import CHANGING, is_harmless

__all__ = ["native", "require", "unread", "unused"]

PARTS = ("text_config", "vision_config", "audio_config")
"""Tables of config.json that are the config of a model of their own."""
_SHARES = ("rotary_pct", "rope_pct", "rope_percent")
"""Other names of partial_rotary_factor."""
_SHOWN = 8
_LOOKS_AHEAD = {"is_causal": (None, True), "use_bidirectional_attention": (None, False, "vision")}
"""Fields that let a token see those behind it, and the values with which none does ("vision": only those of a picture)."""


def require(config: dict[str, Any], names: Collection[str]) -> tuple[str, ...]:
    """Refuse what no engine and no format can express.

    Args:
        config: config.json.
        names: of the checkpoint's tensors.

    Returns:
        Sentences for the plan.

    Raises:
        CheckpointError: what config.json states is not a causal language model of plain weights.
    """
    quantized.refuse(config, names)
    notes: list[str] = []
    for prefix, table in _tables(config):
        for field, neutral in _LOOKS_AHEAD.items():
            if table.get(field) not in neutral:
                raise CheckpointError(
                    f"config.json states {prefix}{field} = {_text(table[field])}: every token sees those behind it, as in "
                    "embedding models. What is written here makes text from left to right, and would be another model.",
                    "Take a causal model.",
                )
        notes += rope.refuse_varying(table, prefix)
    return (*notes, *purpose.require(config, names), *unused.notes(config, names))


def require_encoder(config: dict[str, Any], names: Collection[str]) -> tuple[str, ...]:
    """Refuse of an encoder what no format can express; arguments and what is returned as of `require`.

    Raises:
        CheckpointError: its weights are quantized or an adapter's, or its config.json cannot be one model's.
    """
    quantized.refuse(config, names)
    purpose.refuse_adapter(names)
    if config.get("is_decoder") is True or config.get("add_cross_attention") is True:
        raise CheckpointError(
            "config.json states that it is a decoder (is_decoder), whose tokens see only those before them.",
            "Encoders see all of a text; take one.",
        )
    return ()


def unread(config: dict[str, Any], reader: str, reads: Collection[str] | None = None) -> tuple[str, ...]:
    """Look at the fields that nobody reads.

    Args:
        config: config.json.
        reader: who reads it, as messages call them.
        reads: the fields that the reader of the family knows, those of its parts included; None: transformers' own classes do.

    Returns:
        A sentence for the plan, if there are fields of which nothing is known.

    Raises:
        CheckpointError: one changes what the model computes.
    """
    left: list[str] = []
    for prefix, table in _tables(config):
        kind = str(table.get("model_type", config.get("model_type", "")))
        known = reads if reads is not None else native.fields(kind)
        always = ALWAYS_SO.get(kind, frozenset())
        for field, value in table.items():
            if value is None or is_harmless(field) or field in PARTS or field in always or field in (known or ()):
                continue
            change = CHANGING.get(field)
            if change is None:
                left.append(f"{prefix}{field}")
            elif not change.is_neutral(value) and not _is_idle(table, field):
                raise CheckpointError(
                    f"config.json states {prefix}{field} = {_text(value)}, which {change.what}, and {reader} does not read it: "
                    "what would be written is another model.",
                    f"If the field is left over from another model, take {field} out of config.json.",
                )
        left += rope.unread(table, prefix, reader, known)
    if not left:
        return ()
    more = f" and {len(left) - _SHOWN} more" if len(left) > _SHOWN else ""
    return (f"Fields of config.json that {reader} does not read: {', '.join(left[:_SHOWN])}{more}.",)


def _tables(config: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Give config.json itself and those of its parts, each with what stands before its fields' names."""
    yield "", config
    for part in PARTS:
        if isinstance(config.get(part), dict):
            yield f"{part}.", config[part]


def _is_idle(table: dict[str, Any], field: str) -> bool:
    """True for the width of a window that is switched off, or that no text exceeds, and for a share that is stated twice."""
    if field in _SHARES:
        return bool(table[field] == table.get("partial_rotary_factor"))
    if field != "sliding_window":
        return False
    width, longest = table[field], table.get("max_position_embeddings")
    return table.get("use_sliding_window") is False or (
        isinstance(width, int) and isinstance(longest, int) and width >= longest
    )


def _text(value: Any) -> str:
    shown = str(value).lower() if isinstance(value, bool) else str(value)
    return shown if len(shown) <= 60 else f"{shown[:60]}…"
