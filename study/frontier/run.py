"""`edgeconv frontier`: what each way of compressing a model costs in KL and saves in bytes, from one reference."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from ...convert.conversion.artifact import versions
from ...core.errors import EdgeconvError
from ...core.progress import Progress, Silent
from ..options import FrontierOptions
from ..points import Point, parse
from ..trial import Bench, Trial

if TYPE_CHECKING:
    from .model import Frontier, FrontierPoint

POINTS = (
    "int8",
    "int4_sym:group_size=128",
    "int4_asym:group_size=128",
    "int4_asym:group_size=64",
    "int4_asym:group_size=32",
    "int4_asym:group_size=64,ratio=0.8",
    "int4_asym:group_size=64,ratio=0.5",
    "int4_asym:group_size=64,calibration=suite,awq,scale_estimation",
    "int4_asym:group_size=64,calibration=suite,gptq",
    "q4_0",
    "q4_k_m",
    "q5_k_m",
    "q6_k",
    "q8_0",
    "onnx/int8",
    "onnx/int4_asym:group_size=64",
    "onnx/int4_asym:group_size=32",
)
"""What is measured if nothing is said."""
VERSIONS = ("edgeconv", "openvino", "nncf", "torch", "transformers")


def run(asked: FrontierOptions, progress: Progress | None = None) -> Frontier:
    """Convert and measure every point; those that an earlier run measured are taken from the cache.

    A point that does not work for this model (a type that its rows do not fit, a runtime that is not installed) is left out, with
    the reason.

    Raises:
        EdgeconvError: any of the family, if no point works, or the model cannot be opened.
    """
    progress = progress or Silent()
    chosen = [parse(text) for text in (asked.points or POINTS)]
    bench = Bench(
        asked.model,
        revision=asked.revision,
        suite=asked.suite,
        tokens=asked.tokens,
        local_files_only=asked.local_files_only,
        progress=progress,
    )
    trials: list[Trial] = []
    left_out: dict[str, EdgeconvError] = {}
    for number, point in enumerate(chosen, 1):
        progress.note(f"point {number} of {len(chosen)}: {point.format} {point.label}")
        try:
            trials.append(bench.run(point))
        except EdgeconvError as error:
            left_out[f"{point.format} {point.label}"] = error
            progress.note(f"left out: {error.message}")
    if not trials:
        raise next(iter(left_out.values()))
    return _frontier(asked, bench, trials, {name: error.message for name, error in left_out.items()})


def _frontier(asked: FrontierOptions, bench: Bench, trials: list[Trial], left_out: dict[str, str]) -> Frontier:
    from .model import Frontier

    return Frontier(
        model=bench.opened.name,
        source_bytes=bench.opened.checkpoint.size,
        suite=bench.suite.name,
        suite_digest=bench.suite.digest,
        tokens=asked.tokens,
        points=[_point(trial, trials, bench.opened.name) for trial in sorted(trials, key=lambda one: one.bytes)],
        left_out=left_out,
        versions=versions(VERSIONS),
    )


def _point(trial: Trial, trials: list[Trial], model: str) -> FrontierPoint:
    from .model import FrontierPoint

    fronts: dict[Literal["front", "own_front"], list[Trial]] = {
        "front": trials,
        "own_front": [one for one in trials if one.point.format == trial.point.format],
    }
    marks: dict[Any, bool] = {name: not any(_beats(other, trial) for other in some) for name, some in fronts.items()}
    return FrontierPoint(
        label=trial.point.label,
        format=trial.point.format,
        options=trial.point.options,
        command=trial.point.command(model, "OUT"),
        bytes=trial.bytes,
        bits_per_weight=trial.bits_per_weight,
        mean_kl=trial.mean_kl,
        top1=trial.top1,
        **marks,
    )


def _beats(one: Trial, other: Trial) -> bool:
    """One is no larger and no worse than the other, and better in one of the two."""
    ours, theirs = (one.bytes, one.mean_kl.value), (other.bytes, other.mean_kl.value)
    return ours[0] <= theirs[0] and ours[1] <= theirs[1] and ours != theirs


__all__ = ["POINTS", "Point", "run"]
