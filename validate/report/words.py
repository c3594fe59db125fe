"""What the renderings share: titles of checks and metrics, numbers written for people, the reason of a verdict."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Literal, NamedTuple, get_args

from .model import (
    BudgetLine,
    Check,
    CheckName,
    Comparison,
    ComparisonName,
    Deviation,
    Estimate,
    Report,
    RuntimeDefect,
    Verdict,
)

Unit = Literal["nats", "share", "points", "number", "count"]


class Metric(NamedTuple):
    """How a figure is called and in what it is measured."""

    title: str
    unit: Unit


METRICS = {
    "mean_kl": Metric("mean KL", "nats"),
    "median_kl": Metric("median KL", "nats"),
    "kl_90": Metric("KL, 90 %", "nats"),
    "kl_95": Metric("KL, 95 %", "nats"),
    "kl_99": Metric("KL, 99 %", "nats"),
    "kl_99_9": Metric("KL, 99.9 %", "nats"),
    "max_kl": Metric("largest KL", "nats"),
    "top1": Metric("top-1 agreement", "share"),
    "top5": Metric("top-5 overlap", "share"),
    "top10": Metric("top-10 overlap", "share"),
    "mean_dp": Metric("mean Δp", "points"),
    "rms_dp": Metric("RMS Δp", "points"),
    "dp_1": Metric("Δp, 1 %", "points"),
    "dp_5": Metric("Δp, 5 %", "points"),
    "dp_95": Metric("Δp, 95 %", "points"),
    "dp_99": Metric("Δp, 99 %", "points"),
    "ppl_reference": Metric("perplexity, reference", "number"),
    "ppl_artefact": Metric("perplexity, artifact", "number"),
    "ln_ppl_ratio": Metric("ln of the perplexity ratio", "nats"),
    "max_abs_logit": Metric("largest logit difference", "number"),
    "mean_abs_logit": Metric("mean logit difference", "number"),
    "cosine": Metric("cosine", "number"),
    "not_finite": Metric("NaN or infinite logits", "count"),
    "row_conversion": Metric("conversion error of rows", "number"),
    "row_quantisation": Metric("quantization error of rows", "number"),
    "row_runtime": Metric("runtime error of rows", "number"),
    "max_abs_state": Metric("largest difference of a state", "number"),
    "state": Metric("relative difference of a state", "number"),
    "length": Metric("relative difference of a length", "number"),
    "rank": Metric("rank correlation", "number"),
    "row_marks": Metric("error of begin and end", "number"),
}
CHECKS: tuple[CheckName, ...] = get_args(CheckName)
_BOTH = ("structure", "tokens")
CHECK_TITLES: dict[CheckName, str] = {
    "structure": "Structure and weights",
    "template": "Chat template",
    "tokens": "Tokens",
    "logits": "Logits at every position",
    "decode": "Cached decoding",
    "generation": "Generations",
    "pixels": "Pixels",
    "vision": "Vision tower",
    "merged": "Pictures among words",
    "captions": "Captions",
    "encoding": "States and vectors",
    "padding": "Padding",
    "pipeline": "Pipeline",
}
VISION: tuple[CheckName, ...] = ("pixels", "vision", "merged", "captions")
ENCODER: tuple[CheckName, ...] = ("structure", "tokens", "encoding", "padding", "pipeline")
"""What an encoder has instead of the others."""
COMPARISON_TITLES: dict[ComparisonName, str] = {
    "conversion": "Conversion error",
    "quantisation": "Quantization error",
    "runtime": "Runtime error",
    "runtime_decode": "Runtime error, token by token",
    "noise_floor": "Noise floor",
    "long_context": "Long context",
    "picture_conversion": "Conversion error, pictures",
    "picture_quantisation": "Quantization error, pictures",
    "picture_runtime": "Runtime error, pictures",
}
COMPARISON_QUESTIONS: dict[ComparisonName, str] = {
    "conversion": "Does the artifact compute what its own stored weights say?",
    "quantisation": "What does storing the weights in fewer bits cost?",
    "runtime": "What do the device's default approximations add?",
    "runtime_decode": "What do they add where an answer is made from the cache?",
    "noise_floor": "How far is the reference from itself in float32?",
    "long_context": "Does it hold far beyond the lengths of the suite?",
    "picture_conversion": "Does it compute what its weights say where it speaks of a picture?",
    "picture_quantisation": "What do fewer bits cost where it speaks of a picture?",
    "picture_runtime": "What do the default approximations add where it speaks of a picture?",
}


def metric(name: str) -> Metric:
    """Title and unit of a figure or a budget's "COMPARISON.METRIC"; an unknown one keeps its name.

    The quantization comparison is what budgets are mostly on, so it is not named.
    """
    prefix, _, last = name.rpartition(".")
    known = METRICS.get(last) or Metric(last.replace("_", " "), "number")
    return (
        known if prefix in ("", "quantisation") else known._replace(title=f"{prefix.replace('_', ' ')}: {known.title}")
    )


def significant(value: float, digits: int = 3) -> str:
    """Write `value` with so many significant digits; in powers of ten where zeros would have to be counted."""
    if not math.isfinite(value):
        return "NaN" if math.isnan(value) else "∞" if value > 0 else "−∞"
    if value == 0:
        return "0"
    mantissa, exponent = f"{value:.{digits - 1}e}".split("e")  # rounds first: 9.999 is 10.0
    power = int(exponent)
    text = f"{mantissa}e{power}" if not -4 <= power < 6 else f"{value:.{max(0, digits - 1 - power)}f}"
    return text.replace("-", "−", 1) if value < 0 else text


def percent(share: float) -> str:
    """Write a share of 1; what is not quite 0 % or 100 % is never rounded to it."""
    if not math.isfinite(share):
        return significant(share)
    distance = min(abs(share), abs(1 - share))
    decimals = 1 if distance == 0 or distance >= 1e-3 else -math.floor(math.log10(distance * 100))
    return f"{share * 100:.{decimals}f} %"


def quantity(value: float, unit: Unit) -> str:
    """Write a figure with its unit."""
    if not math.isfinite(value):
        return significant(value)
    if unit == "share":
        return percent(value)
    if unit == "nats":
        return f"{significant(value)} nats"
    if unit == "points":
        return f"{'+' if value > 0 else ''}{significant(value)} pp"
    whole = unit == "count" or (value.is_integer() and abs(value) < 1e9)
    return f"{value:,.0f}" if whole else significant(value, 6 if 0.99 < value < 1 else 4)  # a cosine is in its nines


def interval(name: str, estimate: Estimate) -> str:
    """Write the 95 % confidence interval of a figure; empty if it has none."""
    if estimate.low is None or estimate.high is None:
        return ""
    low, high = (quantity(value, metric(name).unit) for value in (estimate.low, estimate.high))
    return f"{low.removesuffix(' nats').removesuffix(' pp').removesuffix(' %')} to {high}"


def bound(line: BudgetLine) -> str:
    """Write a budget's limit as a condition. A limit is exact, so it needs no zeros at its end."""
    unit = metric(line.metric).unit
    limit = (
        f"{line.limit * 100:.6g} %"
        if unit == "share"
        else f"{line.limit:.6g}" + {"nats": " nats", "points": " pp"}.get(unit, "")
    )
    return f"{'≥' if line.higher_is_better else '≤'} {limit}"


def measured(line: BudgetLine) -> str:
    """Write a budget's figure, and the end of its interval that is held against the limit."""
    unit = metric(line.metric).unit
    return quantity(line.value, unit) + (f" (at worst {quantity(line.worst, unit)})" if line.worst is not None else "")


def used(line: BudgetLine) -> float | None:
    """The part of a budget that is used up (1: all of it), None where that has no meaning.

    For an agreement, whose ideal is 1, it is the disagreement that is spent.
    """
    spent, allowed = line.held, line.limit
    if line.higher_is_better:
        spent, allowed = 1 - line.held, 1 - line.limit
    return max(0.0, spent / allowed) if math.isfinite(spent) and allowed > 0 else None


def checks_of(report: Report) -> Iterator[tuple[CheckName, Check | None]]:
    """Every check in its order; None for one that left no result, which is never a pass."""
    found = {check.name: check for check in report.rungs}
    of_text = [name for name in CHECKS if name not in ENCODER or name in _BOTH]
    for name in ENCODER if "encoding" in found else of_text:
        if report.sees or name not in VISION:
            yield name, found.get(name)


def comparison(report: Report, name: ComparisonName) -> Comparison | None:
    """Find a comparison by name; None if the run did not get as far."""
    return next((one for one in report.comparisons if one.name == name), None)


def deviation(found: Deviation) -> tuple[str, str]:
    """Write what a deviation costs: the rows' errors, and how many pictures it touches and what becomes of their captions."""
    figures = found.figures
    known = [("rows", "mean"), ("worst_row", "worst")]
    rows = ", ".join(f"{title} {significant(figures[name], 2)}" for name, title in known if name in figures)
    parts = []
    if "pictures" in figures:
        parts.append(f"{figures['pictures']:.0f} of {figures.get('of_pictures', math.nan):.0f}")
    if "changed_pixels" in figures:
        parts.append(f"{percent(figures['changed_pixels'])} of their pixels")
    if "same_captions" in figures:
        parts.append(f"{percent(figures['same_captions'])} of the captions are the same")
    return rows or "–", "; ".join(parts) or "–"


def defects(report: Report) -> list[tuple[str, RuntimeDefect]]:
    """Return the engines' defects that showed, each with the title of its check."""
    found = ((CHECK_TITLES[name], check) for name, check in checks_of(report) if check)
    return [(title, defect) for title, check in found for defect in check.defects]


def sentence(defect: RuntimeDefect) -> str:
    """Say what an engine does otherwise, without a full stop at the end."""
    return f"{engine(defect)}, {defect.name} ({defect.concerns}): {defect.effect}; seen {times(defect)}"


def engine(defect: RuntimeDefect) -> str:
    """Name the engine with the versions in which the defect was seen, and the installed one where those do not cover it."""
    named = f"{defect.engine} {defect.versions}"
    return named if defect.looked_at else f"{named} (installed {defect.installed}: not looked at)"


def times(defect: RuntimeDefect) -> str:
    """Say how often a defect showed, and where first."""
    where = f", first in {', '.join(defect.examples)}" if defect.examples else ""
    return ("once" if defect.count == 1 else f"{defect.count:,} times") + where


VERDICTS: dict[Verdict, tuple[str, str]] = {
    "passed": ("✓", "Passed"), "failed": ("✕", "Failed"), "undecided": ("?", "Too few texts to judge"),
}  # fmt: skip
"""A sign and a word for each verdict."""


def status(line: BudgetLine) -> str:
    """Return what became of a budget, in a word."""
    return "passed" if line.passed else "failed" if line.decided else "undecided"


def reason(report: Report) -> str:
    """Say in one sentence why the verdict is what it is."""
    over = [line for line in report.budgets if status(line) == "failed"]
    failed = next((check for name, check in checks_of(report) if check and name == report.first_failed), None)
    if failed:
        return f"{CHECK_TITLES[failed.name]}: {next(iter(failed.failures), failed.summary)}"
    if report.verdict == "failed" and over:
        values = [f"{metric(line.metric).title} is {measured(line)}, wanted {bound(line)}" for line in over]
        return f"Over budget: {'; '.join(values)}."
    if report.verdict == "failed":
        return f"First failure: {report.first_failed or 'not named'}."
    if report.verdict == "undecided":
        return _open(report)
    missing = [CHECK_TITLES[name] for name, check in checks_of(report) if check is None or check.status == "skipped"]
    return "Within every budget" + (f"; not run: {', '.join(missing)}." if missing else ", every check passed.")


def _open(report: Report) -> str:
    """Say which budgets the texts cannot settle, and how many texts there are."""
    lines = [line for line in report.budgets if status(line) == "undecided"]
    said = []
    for line in lines:
        prefix, _, last = line.metric.rpartition(".")
        found = next((one for one in report.comparisons if one.name == prefix), None)
        figure = found.figures.get(last) if found else None
        ends = interval(last, figure) if figure else ""
        value = quantity(figure.value, metric(line.metric).unit) if figure else measured(line)
        said.append(f"{metric(line.metric).title} is {value}{f' ({ends})' if ends else ''}, wanted {bound(line)}")
    texts = max((one.texts for one in report.comparisons), default=0)
    whose = f"{texts} text{'' if texts == 1 else 's'}"
    return f"{whose} cannot tell: {'; '.join(said)}. Measure on more of the suite, or on a longer one."


def seconds(value: float) -> str:
    """Write a duration."""
    if not math.isfinite(value) or value < 60:
        return f"{significant(value, 2)} s"
    minutes, rest = divmod(round(value), 60)
    return f"{minutes} min {rest} s"
