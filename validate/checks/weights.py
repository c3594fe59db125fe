"""What check 0 says of weights, in any format: which are wrong, which have no counterpart."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from ...convert.checkpoint import Checkpoint
from ...core.errors import ArtifactError
from ...core.manifest import Manifest
from ...core.progress import Progress, Task
from ...quantize.integer import to_float32
from ..artifact import check_files
from ..report.model import Check
from ..weights.fit import Fit

_NAMED = 5
"""Tensors that are named in full; the rest are counted."""


class Matched(Protocol):
    """The weights of a graph, each beside the tensor that it was made of."""

    @property
    def matched(self) -> Mapping[str, Sequence[Any]]:
        """Constants by the tensor's name."""

    @property
    def unmatched_checkpoint(self) -> Sequence[str]:
        """Tensors without one."""

    @property
    def unmatched_artefact(self) -> Sequence[Any]:
        """Constants without one."""


@dataclass
class Findings:
    """What was found; `largest` is the worst relative RMS error, in words."""

    failures: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    figures: dict[str, float] = field(default_factory=dict)
    largest: str = ""
    wrong: dict[str, str] = field(default_factory=dict)
    """Tensors of the checkpoint that are not what they should be, or are not there, and a sentence on each."""

    def as_check(self, seconds: float) -> Check:
        """Return the check."""
        return Check(
            name="structure",
            status="failed" if self.failures else "passed",
            summary=self._summary(),
            failures=self.failures,
            warnings=self.warnings,
            figures=self.figures,
            seconds=seconds,
        )

    def _summary(self) -> str:
        figures = self.figures
        if "weights" not in figures:
            return "The artifact cannot be opened."
        matched = f"{figures['weights']:.0f} weights compared with the checkpoint"
        if self.failures:
            wrong = f", {figures['wrong']:.0f} of them wrong" if figures["wrong"] else ""
            return f"{matched}{wrong}; {len(self.failures)} failures in all."
        return (
            f"{matched}: {self.largest}; the worst element is {figures['worst_error']:.2f} of what its scheme allows."
        )


def files(folder: Path, manifest: Manifest, found: Findings, progress: Progress, *, others: bool) -> None:
    """Compare the files with the manifest's digests; `others`: name files that are not in it."""
    try:
        checked = check_files(folder, manifest, progress)
    except ArtifactError as error:
        found.failures.append(error.message)
        return
    found.failures += [f"{name} is not the file that the manifest records." for name in checked.damaged]
    found.failures += [f"{name} is missing." for name in checked.missing]
    if others:
        found.warnings += [f"{name} is not in the manifest." for name in checked.extra]


def untrue(wrong: Sequence[str], found: Findings) -> None:
    """A manifest that says other bits than are stored is one of another artifact; `wrong` says of which weights, in words."""
    if wrong:
        found.failures.append(f"The manifest says other bits than are stored of {len(wrong)} weights: {some(wrong)}")


def unmatched(checkpoint: Checkpoint, absent: Sequence[str], foreign: Sequence[str], found: Findings) -> None:
    """What has no counterpart is shown, never counted as compared.

    Args:
        checkpoint: the reference.
        absent: names of its tensors that the artifact lacks.
        foreign: what the artifact holds beside, in words.
        found: takes it.
    """
    neutral = [name for name in absent if _is_neutral(checkpoint, name)]
    lost = [name for name in absent if name not in neutral]
    found.wrong |= {name: f"{name} has no counterpart in the artifact." for name in lost}
    if lost:
        found.failures.append(
            f"{len(lost)} tensors of the checkpoint have no counterpart in the artifact: {some(lost)}"
        )
    if neutral:
        found.warnings.append(
            f"{len(neutral)} tensors are not in the artifact, and need not be (all ones, or zeros as a bias): {some(neutral)}"
        )
    if foreign:
        found.warnings.append(
            f"{len(foreign)} constants of the artifact are not tensors of the checkpoint: {some(foreign)}"
        )
    found.figures["unmatched_checkpoint"] = len(absent)
    found.figures["unmatched_artefact"] = len(foreign)


def pairs(
    checkpoint: Checkpoint, weights: Matched, found: Findings, progress: Progress
) -> tuple[Task, Iterator[tuple[str, Any]]]:
    """Say what has no counterpart, or one by its content alone; return the weights to compare, each with its tensor's name."""
    foreign = [
        f"{stored.name} {list(stored.shape)}" + (f" ({stored.unreadable})" if stored.unreadable else "")
        for stored in weights.unmatched_artefact
    ]
    unmatched(checkpoint, weights.unmatched_checkpoint, foreign, found)
    by_content = sorted(name for name, matches in weights.matched.items() if any(m.how == "content" for m in matches))
    if by_content:
        found.warnings.append(
            f"{len(by_content)} weights were matched by shape and content, not by name: {some(by_content)}"
        )
    found.figures["matched_by_content"] = len(by_content)
    total = sum(checkpoint.info(name).end - checkpoint.info(name).start for name in weights.matched)
    found_pairs = ((name, match) for name in sorted(weights.matched) for match in weights.matched[name])
    return progress.task("Comparing weights", total), found_pairs


def judge(
    fits: Sequence[Fit], is_wrong: Callable[[Fit], bool], lookalike: Callable[[str], str | None], found: Findings
) -> None:
    """Name the worst weights.

    Args:
        fits: all of them.
        is_wrong: the format's limit, apart from values that are not finite or all zero.
        lookalike: gives the tensor whose values are in the place of another's, if there is one.
        found: takes it.
    """
    wrong = [fit for fit in fits if fit.not_finite or fit.zero or is_wrong(fit)]
    wrong.sort(key=lambda fit: (-fit.over, -fit.rms))
    sentences = [_sentence(fit, lookalike if place < _NAMED else _nobody) for place, fit in enumerate(wrong)]
    found.failures += sentences[:_NAMED]
    for fit, sentence in zip(wrong, sentences, strict=True):
        found.wrong.setdefault(fit.name, sentence)  # of two copies the worse one
    if len(wrong) > _NAMED:
        found.failures.append(f"{len(wrong) - _NAMED} more weights are wrong: {some([f.name for f in wrong[_NAMED:]])}")
    largest = max(fits, key=lambda fit: fit.rms, default=None)
    if largest:
        found.largest = f"largest relative RMS error {largest.rms:.4f} ({largest.name}, {largest.stored})"
    found.figures |= {
        "weights": len({fit.name for fit in fits}),
        "wrong": len(wrong),
        "worst_error": max((fit.worst for fit in fits if math.isfinite(fit.worst)), default=0.0),
        "worst_rms": max((fit.rms for fit in fits), default=0.0),
        "mean_rms": sum(fit.rms for fit in fits) / max(len(fits), 1),
    }
    if not fits:
        found.failures.append("No weight of the artifact could be matched with the checkpoint.")


def _nobody(_: str) -> None:
    """Look for no other tensor's values, which takes reading them all."""


def some(names: Sequence[str]) -> str:
    """Name the first few."""
    return ", ".join(names[:_NAMED]) + (", …" if len(names) > _NAMED else ".")


def _is_neutral(checkpoint: Checkpoint, name: str) -> bool:
    """True for a vector that an export may drop: it multiplies by one, or adds zero."""
    if len(checkpoint.info(name).shape) != 1:
        return False
    values = to_float32(checkpoint.tensor(name))
    return bool((values == (0.0 if name.endswith("bias") else 1.0)).all())


def _sentence(fit: Fit, lookalike: Callable[[str], str | None]) -> str:
    head = f"{fit.name} ({fit.stored})"
    if fit.not_finite:
        return f"{head}: {fit.not_finite} of its values are NaN or infinite."
    if fit.zero:
        return f"{head}: all its values are zero."
    if not fit.over and fit.coarse:
        return f"{head}: {fit.coarse:.2%} of its values are lost to scales that are far too large for their groups."
    if not fit.over and fit.corrected is not None:
        return f"{head}: with its adapters the error is {fit.corrected:.3g} times what it is without them."
    if not fit.over:  # its elements have no rule, or keep to it
        text = f"{head}: its relative RMS error is {fit.rms:.3g}, more than a weight stored so may have."
        other = lookalike(fit.name)
        return text + (f" It holds the values of {other}." if other else "")
    expected = f"relative RMS error {fit.rms:.3g}, where {fit.expected_rms:.2g} is expected"
    text = f"{head}: {fit.over:.2%} of its values, in {fit.rows_over} of {fit.rows} rows, are further off than its scheme allows"
    text += f", the worst by a factor of {fit.worst:.3g} ({expected})."
    other = lookalike(fit.name) if fit.over > 0.1 else None
    return text + (f" It holds the values of {other}." if other else "")
