"""Fills the templates: one self-contained file, closed off by a content security policy."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from typing import Any

from markupsafe import Markup

from ....core.escape import visible
from ..model import Comparison, ComparisonName, GenerationPair, Report
from ..words import (
    CHECK_TITLES,
    COMPARISON_QUESTIONS,
    COMPARISON_TITLES,
    METRICS,
    VERDICTS,
    bound,
    checks_of,
    comparison,
    defects,
    deviation,
    engine,
    interval,
    metric,
    percent,
    quantity,
    reason,
    significant,
    status,
    times,
    used,
)  # fmt: skip
from . import charts, documents
from .jinja import digest, environment, source

MAX_BYTES = 1_950_000
"""The page's promise is 2 MB. What does not fit is left out, the least bad first, and the page says so."""
_SHARES = (1.0, 0.8, 0.6, 0.45, 0.3, 0.2, 0.12, 0.06, 0.03, 0.01, 0.0)
"""Shares of the tokens that keep their alternatives, tried in turn."""
_HEADING = 3000
"""Bytes of a document's heading, generously."""
_SUITE: tuple[ComparisonName, ...] = ("conversion", "quantisation", "runtime", "runtime_decode", "noise_floor")


def render(report: Report) -> str:
    """Return the page: UTF-8, below 2 MB whatever the size of the suite."""
    context = _context(report)
    views = [documents.view(one) for one in documents.worst_first(report.documents)]
    bare = _fill(context, [], Markup('{"texts":[],"documents":[]}'), None, len(views))
    kept = _fitting(views, MAX_BYTES - _size(bare))
    kls = (entry.kl for one in kept for entry in one.entries if entry.alternatives and entry.kl is not None)
    falling = sorted((kl for kl in kls if math.isfinite(kl)), reverse=True)
    page = bare
    for share in _SHARES:
        place = math.ceil(len(falling) * share)
        least = None if place >= len(falling) else falling[place - 1] if place else math.inf
        page = _fill(context, kept, documents.data(kept, least or 0.0), least, len(views) - len(kept))
        if _size(page) <= MAX_BYTES:
            break
    return page


def _fitting(views: list[documents.DocumentView], room: int) -> list[documents.DocumentView]:
    """Take documents, worst first, while their text and bare KLs fit into `room` bytes."""
    for count, one in enumerate(views):
        room -= _size(one.body) + sum(len(entry.shown) + 3 for entry in one.entries) + _HEADING
        if room < 0:
            return views[:count]
    return views


def _fill(
    context: dict[str, Any], views: list[documents.DocumentView], data: Markup, least: float | None, left_out: int
) -> str:
    known = {"documents": views, "data": data, "least": least, "left_out": left_out, "levels": documents.LEVELS}
    page: str = _template().render({**context, **known})
    return page


def _size(text: str) -> int:
    return len(text.encode())


@cache
def _template() -> Any:
    made = environment().overlay()
    made.filters = {**made.filters, "shown": _shown, "interval": _interval}
    return made.get_template("page.html")


def _context(report: Report) -> dict[str, Any]:
    style, script = source("page.css"), source("page.js")
    found = [one for name in _SUITE if (one := comparison(report, name))]
    main, floor, long = (comparison(report, name) for name in ("quantisation", "noise_floor", "long_context"))
    main = main if main and main.histogram.counts else None  # an encoder's figures are of texts, not of tokens
    limits = _kl_limits(report)
    return {
        "report": report,
        "style": Markup(style), "style_hash": digest(style),
        "script": Markup(script), "script_hash": digest(script),
        "reason": reason(report), "verdict": VERDICTS[report.verdict],
        "budgets": [_budget(report, line) for line in report.budgets],
        "ladder": [(name, CHECK_TITLES[name], check) for name, check in checks_of(report)],
        "defects": [(title, one, engine(one), times(one)) for title, one in defects(report)],
        "deviations": [(one, *deviation(one)) for one in report.deviations],
        "main": main, "floor": floor, "long": long, "comparisons": found,
        "titles": COMPARISON_TITLES, "questions": COMPARISON_QUESTIONS,
        "metrics": [(name, one.title) for name, one in METRICS.items() if any(name in c.figures for c in report.comparisons)],
        "histogram": charts.histogram(main, floor, limits.get("quantisation")) if main else None,
        "histogram_rows": charts.histogram_rows(main.histogram) if main else [],
        "positions": _position_charts(main, floor), "long_positions": _position_charts(long, None),
        "errors": charts.errors(found, limits) if any("mean_kl" in one.figures for one in found) else None,
        "pairs": [_pair(pair) for pair in report.generations], "generations": _summary(report.generations),
        "total": sum(value for value in report.seconds.values() if math.isfinite(value)),
    }  # fmt: skip


def _kl_limits(report: Report) -> dict[str, float]:
    """Budgets on a mean KL by comparison; a metric without a comparison's name is of the quantization."""
    named = (line for line in report.budgets if line.metric.rpartition(".")[2] == "mean_kl")
    return {line.metric.rpartition(".")[0] or "quantisation": line.limit for line in named}


def _budget(report: Report, line: Any) -> dict[str, Any]:
    part = used(line)
    title, unit = metric(line.metric)
    prefix, _, name = line.metric.rpartition(".")
    source = next((one for one in report.comparisons if one.name == (prefix or "quantisation")), None)
    return {
        "line": line, "status": status(line), "title": title, "value": quantity(line.value, unit), "bound": bound(line),
        "worst": None if line.worst is None else quantity(line.worst, unit),
        "estimate": source.figures.get(name) if source else None, "name": name,
        "used": None if part is None else f"{part * 100:.0f} %" if part < 9.995 else f"{significant(part)} times",
        # A bar of 160 units in which the limit stands at 100: what is far beyond it runs into the border.
        "bar": None if part is None else min(160.0, part * 100),
    }  # fmt: skip


def _position_charts(main: Comparison | None, floor: Comparison | None) -> list[tuple[str, Markup]]:
    if main is None or not main.positions:
        return []
    shown = [
        ("Mean KL by position", charts.kl_by_position(main, floor)),
        ("Top-1 agreement by position", charts.top1_by_position(main, floor)),
    ]
    if main.name == "long_context":
        shown.append(("Largest logit difference by position", charts.logits_by_position(main)))
    return shown


@dataclass(frozen=True)
class PairView:
    """A generation: what both texts share, and what follows in each."""

    pair: GenerationPair
    common: str
    reference_rest: str
    artifact_rest: str


def _pair(pair: GenerationPair) -> PairView:
    first, second = visible(pair.reference_text), visible(pair.artefact_text)
    length = next(
        (i for i, (a, b) in enumerate(zip(first, second, strict=False)) if a != b), min(len(first), len(second))
    )
    return PairView(pair, first[:length], first[length:], second[length:])


def _summary(pairs: list[GenerationPair]) -> dict[str, Any] | None:
    tokens = sum(pair.tokens for pair in pairs)
    if not pairs:
        return None
    diverged = [pair for pair in pairs if pair.divergence is not None]
    kept = sum(pair.tokens if pair.divergence is None else pair.divergence for pair in pairs)
    return {
        "count": len(pairs), "exact": len(pairs) - len(diverged), "before": percent(kept / tokens) if tokens else "–",
        "diverged": len(diverged), "near": sum(1 for pair in diverged if pair.near_tie),
    }  # fmt: skip


def _shown(value: float, name: str) -> str:
    return quantity(value, metric(name).unit)


def _interval(estimate: Any, name: str) -> str:
    return interval(name, estimate)
