"""Every tensor has a place or is known to need none, none is missing, shapes and types are those that config.json promises."""

from __future__ import annotations

import fnmatch
from collections import Counter

from ...convert import families
from ...convert.checkpoint import Checkpoint
from ...convert.claims import purpose, unused
from ...convert.program.decoder import Decoder
from ...convert.program.encoder import Encoder
from ...convert.program.vision import Vision
from ...core.dtypes import BY_STORED
from .row import Row, judged, some
from .subject import Refused, Subject

HEAD, TABLE = "lm_head.weight", "model.embed_tokens.weight"
Shapes = dict[str, tuple[int, ...]]


def rows(subject: Subject) -> list[Row]:
    """Compare the headers with what the engine would ask for."""
    if isinstance(subject.choice, Refused):
        return []
    if subject.encoder:
        return _streamed(subject.checkpoint, subject.encoder, None)
    if subject.decoder is None:
        return _traced(subject.checkpoint)
    return _streamed(subject.checkpoint, subject.decoder, subject.vision)


def _traced(checkpoint: Checkpoint) -> list[Row]:
    from ...convert.openvino.trace_load import weights_of

    used = weights_of(checkpoint)
    note = "transformers builds the model when it is converted, and every tensor is accounted for then"
    found = f"{len(used)} tensors, not compared here"
    return [Row("tensors", "names", "those of transformers' model", found, "assumed", note), _types(checkpoint, used)]


def _streamed(checkpoint: Checkpoint, decoder: Decoder | Encoder, vision: Vision | None) -> list[Row]:
    expected = decoder.tensors() | (vision.tensors() if vision else {})
    present = {name: shape for name, shape in expected.items() if checkpoint.sources([name]) <= checkpoint.names}
    left = sorted(checkpoint.names - checkpoint.sources(expected))
    allowed = _allowed(left, checkpoint, vision, () if isinstance(decoder, Decoder) else decoder.unused)
    stored_head = isinstance(decoder, Decoder) and decoder.tied and HEAD in left
    others = [name for name in left if name not in allowed and not (stored_head and name == HEAD)]
    found = [
        _missing(expected, present),
        _shapes(checkpoint, present),
        _left_over(others, allowed),
        _types(checkpoint, set(present)),
    ]
    return found + ([_tied(checkpoint, expected[TABLE])] if stored_head else [])


def _allowed(left: list[str], checkpoint: Checkpoint, vision: Vision | None, further: tuple[str, ...]) -> list[str]:
    patterns = further
    if vision:
        patterns = (*families.unused_tensors(checkpoint.model_type, checkpoint.names), *vision.unused)
    return [
        name
        for name in left
        if unused.is_unused(name, checkpoint.config) or any(fnmatch.fnmatch(name, pattern) for pattern in patterns)
    ]


def _missing(expected: Shapes, present: Shapes) -> Row:
    missing = [name for name in expected if name not in present]
    found = f"{len(missing)} missing: {some(missing)}" if missing else f"all {len(expected)}"
    return judged(
        "tensors", "names", f"{len(expected)} tensors that config.json promises", found,
        right=not missing,
        note=purpose.UNTIED if missing == [HEAD] else "Config and weights do not belong together, or a shard is missing.",
    )  # fmt: skip


def _shapes(checkpoint: Checkpoint, present: Shapes) -> Row:
    off = [
        f"{name} {list(checkpoint.info(name).shape)} instead of {list(shape)}"
        for name, shape in present.items()
        if checkpoint.info(name).shape != shape
    ]
    return judged(
        "tensors", "shapes", "as config.json gives them", some(off) if off else f"all {len(present)}",
        right=not off, note="Config and weights are not of the same model.",
    )  # fmt: skip


def _left_over(others: list[str], allowed: list[str]) -> Row:
    known = f"{len(allowed)} known to be unused ({some(allowed)})" if allowed else "none"
    return judged(
        "tensors", "left over", "none, or known to be unused", f"{len(others)}: {some(others)}" if others else known,
        right=not others, note="They would be lost: another kind of model, an adapter, or another's config.json.",
    )  # fmt: skip


def _types(checkpoint: Checkpoint, names: set[str]) -> Row:
    counts = Counter(checkpoint.info(name).dtype for name in names)
    found = ", ".join(f"{kind} ({count})" for kind, count in counts.most_common()) or "none"
    return judged(
        "tensors", "types", " or ".join(BY_STORED), found,
        right=set(counts) <= set(BY_STORED), note="Take an unquantized revision of the model.",
    )  # fmt: skip


def _tied(checkpoint: Checkpoint, shape: tuple[int, ...]) -> Row:
    """Headers cannot tell whether two tensors hold the same numbers; the conversion compares them."""
    stored = checkpoint.info(HEAD).shape
    note = "config.json ties the two; the conversion compares every value, and refuses if one differs"
    return Row(
        "tensors", HEAD, f"the embedding again, {list(shape)}", f"stored, {list(stored)}",
        "assumed" if stored == shape else "wrong", note,
    )  # fmt: skip
