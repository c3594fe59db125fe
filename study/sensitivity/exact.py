"""Each part compressed alone and run in full, from the activations before it; every figure is kept as it is made."""

from __future__ import annotations

from typing import Any

from ...core.kept import Kept
from ...core.progress import Progress
from ...validate.metrics import compare
from ...validate.report.model import Estimate
from ...validate.scores import Scores
from .codec import Codec
from .model import PartFigure
from .parts import Part
from .path import Path
from .subject import Subject


def measure(subject: Subject, by: str, codec: Codec, progress: Progress) -> list[PartFigure]:
    """Run every part.

    Returns:
        A figure for each, in the model's order.

    Raises:
        CheckpointError: a weight is not finite, or does not fit the type.
        UsageError: an unknown `by`.
    """
    kept = Kept("sensitivity", {**subject.facts(), "codec": str(codec)}, progress)
    cut = subject.parts(by)
    found = {part.name: kept.get(_key(part)) for part in cut}
    left = [part for part in cut if found[part.name] is None]
    if len(left) < len(cut):
        progress.note(f"{len(cut) - len(left)} of {len(cut)} parts were measured before.")
    if left:
        path = Path(subject.checkpoint, subject.ids, progress)
        work = sum(subject.depth - max(part.first, 0) + 1 for part in left) * path.tokens
        task = progress.task(f"Compressing one {by} at a time", work)
        for part in left:
            found[part.name] = made = _run(subject, path, part, codec, task.advance)
            kept.put(_key(part), made)
            progress.detail(f"{part.name}: KL {made['mean_kl']['value']:.3g}")
        task.finish()
    return [figure(subject, part, codec, found[part.name]) for part in cut]


def _key(part: Part) -> str:
    return "|".join(part.tensors)


def _run(subject: Subject, path: Path, part: Part, codec: Codec, done: Any) -> dict[str, Any]:
    scores = path.scores(part.first, path.compressed(part.tensors, codec), done)
    return summed(part.name, scores, [document.document for document in subject.documents])


def summed(name: str, scores: list[Scores], texts: list[str]) -> dict[str, Any]:
    """Return what is kept of a part's scores; `texts` as `metrics.compare`'s groups."""
    made = compare("quantisation", "reference", name, scores, texts)
    return {figure: made.figures[figure].model_dump(mode="json") for figure in ("mean_kl", "top1")}


def figure(subject: Subject, part: Part, codec: Codec, figures: Any) -> PartFigure:
    """Return the figure of a part from what `summed` made of its scores."""
    return PartFigure(
        name=part.name,
        kind=part.kind,
        tensors=list(part.tensors),
        mean_kl=Estimate.model_validate(figures["mean_kl"]),
        top1=Estimate.model_validate(figures["top1"]),
        **subject.stored(part, codec),
    )
