"""Which engine would take the checkpoint, what it takes for granted of config.json, and how int4 would be made."""

from __future__ import annotations

import re
from typing import Any

from ...convert import base_names, families, remote_code
from ...convert.program.decoder import Decoder
from ...quantize.assign import check_groups
from ...quantize.scheme import Request, resolve, resolve_vision
from .glm_edge import EVIDENCE, ROTARY_NOTE, is_glm_edge
from .row import Row, judged
from .subject import Refused, Subject

ROTARY, POSITIONS = "partial_rotary_factor", "max_position_embeddings"
_ABSENT = re.compile(r"(?P<key>\S+) = (?P<value>.+) \(absent from config\.json; (?P<whose>.+)\)")


def engine(subject: Subject) -> list[Row]:
    """Who converts it, and whether that needs code from the checkpoint."""
    kind, choice = subject.checkpoint.model_type, subject.choice
    expected = f"an engine takes model_type {kind}"
    if isinstance(choice, Refused):
        first = Row("engine", "engine", expected, choice.message, "wrong", choice.hint)
    else:
        first = Row("engine", "engine", expected, f"{choice.engine}: {choice.reason}")
    return [first, _custom_code(subject.config)]


def _custom_code(config: dict[str, Any]) -> Row:
    expected, auto_map = "no code from the checkpoint is needed", config.get("auto_map")
    if not auto_map:
        return Row("engine", "custom code", expected, "config.json names none")
    native = not remote_code.is_needed(config)
    found = "config.json names some; it is not run, for the architecture is known without it"
    return judged(
        "engine", "custom code", expected, found if native else "config.json names some, and the model needs it",
        right=native, note=remote_code.UNKNOWN,
    )  # fmt: skip


def config(subject: Subject) -> list[Row]:
    """Values that no file states, and those that a file had better state."""
    decoder, vision = subject.decoder, subject.vision
    described = decoder or subject.encoder
    sentences = [*(described.assumed if described else ()), *(vision.assumed if vision else ())]
    rows = [_assumed(sentence, subject.config) for sentence in sentences]
    named = {row.name for row in rows}
    if decoder and _may_rotate_in_part(decoder) and ROTARY not in named:
        rows.insert(0, _rotary(decoder, subject.config))
    if POSITIONS not in named:
        rows.insert(0, _positions(subject.config))
    notes = [note for note in subject.checkpoint.notes if note == base_names.NOTE]
    notes += [] if isinstance(subject.choice, Refused) else subject.choice.notes
    return [*rows, *(Row("config", "fields", "each one is read, or harmless", note, "assumed") for note in notes)]


def _assumed(sentence: str, config: dict[str, Any]) -> Row:
    match = _ABSENT.fullmatch(sentence)
    if match is None:  # a fact about the family, which no config file has a key for
        note = next((text for start, text in EVIDENCE.items() if sentence.startswith(start)), "")
        what, _, why = sentence.partition(" (")
        return Row("config", what, "stated", why.rstrip(")"), "assumed", note)
    key, value, whose = match["key"], match["value"], match["whose"]
    doubtful = key == ROTARY and is_glm_edge(config)
    return Row("config", key, "stated", f"absent; {value} is used", "assumed", ROTARY_NOTE if doubtful else whose)


def _may_rotate_in_part(decoder: Decoder) -> bool:
    family = families.find(decoder.family)
    return family is not None and family.partial_rotary


def _rotary(decoder: Decoder, config: dict[str, Any]) -> Row:
    dim, head = decoder.rope.dim, decoder.head_dim
    expected = "stated (1 in GLM-OCR, its relative)" if is_glm_edge(config) else "stated"
    return Row("config", ROTARY, expected, f"{dim / head:g}: {dim} of {head} dimensions of a head are rotated")


def _positions(config: dict[str, Any]) -> Row:
    value = config.get(POSITIONS)
    if type(value) is int and value > 0:
        return Row("config", POSITIONS, "stated", f"{value:,} positions")
    found = "absent" if value is None else f"{value!r}"
    note = "the graph does not depend on it; runtimes take a default"
    return Row("config", POSITIONS, "stated", found, "assumed", note)


def scheme(subject: Subject) -> list[Row]:
    """What `--precision int4` means for this checkpoint when nothing else is said."""
    from ...convert.openvino import stream

    if isinstance(subject.choice, Refused):
        return []
    decoder, vision = subject.decoder, subject.vision
    default = families.int4_default(subject.config, vision)
    chosen = resolve(Request("int4"), default, vision.family if vision else subject.checkpoint.model_type)
    expected = "the vendor's default" if default else "NNCF's defaults"
    rows = [Row("scheme", "int4", expected, f"{chosen.describe()} (chosen by {chosen.chosen_by})")]
    described = decoder or subject.encoder
    if described is not None:
        notes = check_groups(stream.weights(described, chosen, vision), chosen)
        found = "; ".join(notes) if notes else f"rows are multiples of {chosen.group_size}"
        rows.append(Row("scheme", "groups", "rows that the group divides, else smaller groups", found))
    if vision is not None:
        tower = resolve_vision(None, chosen, vision.family)
        rows.append(Row("scheme", "vision", "float16, as its makers convert it", tower.describe()))
    return rows
