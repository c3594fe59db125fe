"""Vision, second and third check: what the tower makes of pixels, and what stands among the words.

Errors are told apart as with logits: the artifact beside torch on the artifact's own weights (its graph), and beside torch on the
checkpoint's (what compressing the tower costs).
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ..report.model import Check

Array = npt.NDArray[Any]
CONVERSION = 1e-3
"""Largest difference from the artifact's own weights, relative to the rows' RMS: float32 rounding measures 1e-5."""
COSINE_16, COSINE_8 = 0.999, 0.99
"""Least mean cosine of a picture's rows with the reference's: float16 measures 0.999999, int8 of trained towers 0.999."""


def tower(
    made: Sequence[Array], own: Sequence[Array], reference: Sequence[Array], names: Sequence[str], bits: int
) -> Check:
    """Compare the rows of every picture, each float32 [rows, hidden]; `bits` of the tower's weights."""
    started = time.perf_counter()
    failures, figures = _graph(made, own, names)
    least = COSINE_16 if bits >= 16 else COSINE_8
    cosines = [_cosine(a, b) if a.shape == b.shape else float("nan") for a, b in zip(made, reference, strict=True)]
    for name, cosine in zip(names, cosines, strict=True):
        if not cosine >= least:
            failures.append(f"{name}: mean cosine {cosine:.4f} with the reference's rows, wanted ≥ {least}.")
    figures["least_cosine"] = min(cosines, default=float("nan"))
    figures["max_abs"] = max(
        (float(np.abs(a - b).max()) for a, b in zip(made, reference, strict=True) if a.shape == b.shape),
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


def merged(
    made: Sequence[Array], own: Sequence[Array], prompts: Sequence[tuple[list[int], list[int]]], names: Sequence[str]
) -> Check:
    """Compare prompts with pictures in them.

    Args:
        made: float32 [n, hidden] of each prompt, by the artifact's IRs.
        own: the same by torch on the artifact's weights.
        prompts: the ids by the artifact's own template and tokenizer, and by the checkpoint's.
        names: of the pictures.
    """
    started = time.perf_counter()
    failures = [
        f"{name}: the artifact's prompt has {len(a)} tokens, the checkpoint's {len(b)}, or others."
        for name, (a, b) in zip(names, prompts, strict=True)
        if a != b
    ]
    wrong, figures = _graph(made, own, names)
    failures += wrong
    figures["prompts"] = float(len(prompts))
    summary = (
        f"{len(prompts)} prompts: pictures stand in their places; largest relative error {figures['graph_error']:.1e}"
    )
    return _as_check("merged", failures, figures, summary, started)


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
