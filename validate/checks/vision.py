"""Vision, second and third check: what the tower makes of pixels, and what stands among the words.

Errors are told apart as with logits: the artifact beside torch on the artifact's own weights (its graph), and beside torch on the
checkpoint's (what compressing the tower costs).
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from ...convert.program.vision import Rows
from ..report.model import Check

Array = npt.NDArray[Any]
CONVERSION = 1e-3
"""Largest difference from the artifact's own weights, relative to the rows' RMS: float32 rounding measures 1e-5."""
COSINE_16, COSINE_8 = 0.999, 0.99
"""Least mean cosine of a picture's rows with the reference's: float16 measures 0.999999, int8 of trained towers 0.999."""


@dataclass(frozen=True)
class Prompt:
    """A conversation with pictures, on one side.

    Attributes:
        ids: of its tokens; empty if the files make none.
        entering: float32 [n, hidden], what enters the language model.
        positions: int64 [n], or [axes, n].
        types: what the model is told of each token beside, int64 [n], by name.
    """

    ids: list[int]
    entering: Array
    positions: Array
    types: Mapping[str, Array] = field(default_factory=dict)


def tower(
    made: Sequence[Rows], own: Sequence[Rows], reference: Sequence[Rows], names: Sequence[str], bits: int
) -> Check:
    """Compare what was made of the pictures of every conversation; `bits` of the vision part's weights."""
    started = time.perf_counter()
    failures = [
        f"{name}: {_deep(a)} sets of rows for the language model's layers, the model has {_deep(b)}."
        for name, a, b in zip(names, made, own, strict=True)
        if _deep(a) != _deep(b)
    ]
    labels = [label for name, one in zip(names, own, strict=True) for label in _labels(name, one)]
    sides = [_flat(side, own) for side in (made, own, reference)]
    wrong, figures = _graph(sides[0], sides[1], labels)
    failures += wrong
    least = COSINE_16 if bits >= 16 else COSINE_8
    pairs = list(zip(sides[0], sides[2], strict=True))
    cosines = [_cosine(a, b) if a.shape == b.shape else float("nan") for a, b in pairs]
    for name, cosine in zip(labels, cosines, strict=True):
        if not cosine >= least:
            failures.append(f"{name}: mean cosine {cosine:.4f} with the reference's rows, wanted ≥ {least}.")
    figures["least_cosine"] = min(cosines, default=float("nan"))
    figures["max_abs"] = max(
        (float(np.abs(a - b).max()) for a, b in pairs if a.shape == b.shape),
        default=float("nan"),
    )
    return _as_check(
        "vision",
        failures,
        figures,
        f"{len(made)} pictures: least cosine {figures['least_cosine']:.6f} with the reference's rows, graph error "
        f"{figures['graph_error']:.1e}",
        started,
    )


def _deep(rows: Rows) -> int:
    return 0 if rows.deep is None else len(rows.deep)


def _labels(name: str, rows: Rows) -> list[str]:
    return [name, *(f"{name}, rows of layer {layer}" for layer in range(_deep(rows)))]


def _flat(side: Sequence[Rows], like: Sequence[Rows]) -> list[Array]:
    """Return all sets of rows of a side, as many as the other has: [rows, hidden] each."""
    found = []
    for one, other in zip(side, like, strict=True):
        sets = [one.rows, *([] if one.deep is None else one.deep)]
        empty = np.zeros((0, 0), np.float32)
        found += [*sets, *[empty] * (1 + _deep(other))][: 1 + _deep(other)]
    return found


def merged(made: Sequence[Prompt], own: Sequence[Prompt], names: Sequence[str]) -> Check:
    """Compare prompts with pictures in them.

    Args:
        made: of each conversation, by the artifact's template, tokenizer and graphs.
        own: by the checkpoint's, and torch on the artifact's weights.
        names: of the conversations.
    """
    started = time.perf_counter()
    failures = []
    for name, a, b in zip(names, made, own, strict=True):
        if a.ids != b.ids:
            failures.append(
                f"{name}: the artifact's prompt has {len(a.ids)} tokens, the checkpoint's {len(b.ids)}, or others."
            )
        failures += _places(name, a, b)
    wrong, figures = _graph([one.entering for one in made], [one.entering for one in own], names)
    failures += wrong
    figures["prompts"] = float(len(own))
    summary = f"{len(own)} prompts: pictures stand in their places; largest relative error {figures['graph_error']:.1e}"
    return _as_check("merged", failures, figures, summary, started)


def _places(name: str, made: Prompt, own: Prompt) -> list[str]:
    """Compare where tokens stand, and what the model is told of each."""
    failures = []
    found, right = made.positions, _with_leading(own.positions, made.positions)
    if found.shape != right.shape:
        failures.append(f"{name}: positions {list(found.shape)}, the model has {list(right.shape)}.")
    elif (found != right).any():
        place = tuple(int(i) for i in np.argwhere(found != right)[0])
        axis = f" on axis {place[0]}" if len(place) > 1 else ""
        failures.append(f"{name}: token {place[-1]} stands at {found[place]}{axis}, in the model at {right[place]}.")
    for what, values in made.types.items():
        wanted = own.types.get(what)
        if wanted is None or values.shape != wanted.shape or (values != wanted).any():
            failures.append(f"{name}: {what} are not those of the checkpoint's processor.")
    return failures


def _with_leading(positions: Array, like: Array) -> Array:
    """Return positions with axes in front that count the tokens, where a graph takes them (Qwen3.5's masks are made of such)."""
    if positions.ndim != 2 or like.ndim != 2 or len(like) <= len(positions):
        return positions
    counted = np.broadcast_to(np.arange(positions.shape[1]), (len(like) - len(positions), positions.shape[1]))
    return np.concatenate([counted, positions])


def _graph(made: Sequence[Array], own: Sequence[Array], names: Sequence[str]) -> tuple[list[str], dict[str, float]]:
    failures, worst = [], 0.0
    for name, a, b in zip(names, made, own, strict=True):
        if a.shape != b.shape:
            failures.append(f"{name}: {list(a.shape)} values, by the artifact's own weights {list(b.shape)}.")
            continue
        if not np.isfinite(a).all():
            failures.append(f"{name}: {int((~np.isfinite(a)).sum())} values are NaN or infinite.")
            continue
        scale = float(np.sqrt(np.mean(np.square(b, dtype=np.float64)))) or 1.0
        error = float(np.abs(a - b).max()) / scale
        worst = max(worst, error)
        if error > CONVERSION:
            row = int(np.argmax(np.abs(a - b).max(1)))
            failures.append(
                f"{name}: row {row} of {len(a)} is off by {error:.3g} of the rows' RMS, where rounding makes 1e-5."
            )
    if not made:
        failures.append("There are no pictures.")
    return failures, {"graph_error": worst}


def _cosine(a: Array, b: Array) -> float:
    a, b = a.astype(np.float64), b.astype(np.float64)
    norms = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    return float(np.mean((a * b).sum(1) / np.maximum(norms, 1e-300)))


def _as_check(name: Any, failures: list[str], figures: dict[str, float], summary: str, started: float) -> Check:
    return Check(
        name=name,
        status="failed" if failures else "passed",
        summary=summary if not failures else f"{failures[0]}",
        failures=failures[:5],
        figures=figures,
        seconds=time.perf_counter() - started,
    )
