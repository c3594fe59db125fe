"""The report as GitHub-flavoured Markdown, short enough for the summary of a CI step."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from ...core import escape
from .model import Check, ComparisonName, GenerationPair, Report
from .words import (
    CHECK_TITLES,
    COMPARISON_TITLES,
    VERDICTS,
    bound,
    checks_of,
    comparison,
    defects,
    deviation,
    engine,
    interval,
    measured,
    metric,
    percent,
    quantity,
    reason,
    seconds,
    significant,
    status,
)  # fmt: skip

_MARKS = {
    "passed": "✅ passed", "failed": "❌ failed", "skipped": "⏭️ skipped", "undecided": "❔ too few texts", None: "❌ no result",
}  # fmt: skip
_FIGURES = ("mean_kl", "kl_99", "max_kl", "top1", "ln_ppl_ratio", "max_abs_logit")
_OF_ENCODERS = ("cosine", "rank", "top5", "state", "length", "max_abs_logit")
_COMPARISONS: tuple[ComparisonName, ...] = (
    "conversion",
    "quantisation",
    "runtime",
    "runtime_decode",
    "noise_floor",
    "long_context",
)
_MAX_FAILURES, _MAX_LENGTH, _MAX_NOTES = 3, 300, 10


def render(report: Report) -> str:
    """Return the summary: verdict, budget, ladder, errors, defects, deviations, generations, notes."""
    parts = [_head(report), _budget(report), _ladder(report), _errors(report)]
    parts += [_defects(report), _deviations(report)]
    parts.append(_generations(report.generations))
    notes = [f"- {_safe(note)}" for note in report.notes[:_MAX_NOTES]]
    if len(report.notes) > _MAX_NOTES:
        notes.append(f"- … and {len(report.notes) - _MAX_NOTES} more in parity.json.")
    parts.append("### Notes\n\n" + "\n".join(notes) if notes else "")
    return "\n\n".join(part for part in parts if part) + "\n"


def _safe(text: str, length: int = _MAX_LENGTH) -> str:
    return escape.markdown(text, length)


def _head(report: Report) -> str:
    mark, word = {"passed": "✅", "failed": "❌", "undecided": "❔"}[report.verdict], VERDICTS[report.verdict][1]
    total = sum(value for value in report.seconds.values() if math.isfinite(value))
    against = f"{_safe(report.artifact.name)} against {_safe(report.reference.name)}, suite {_safe(report.suite.name)}"
    return f"## {mark} {word}: parity of {against}\n\n**{_safe(reason(report))}**" + (
        f" Took {seconds(total)}." if total else ""
    )


def _budget(report: Report) -> str:
    if not report.budgets:
        return "### Budget\n\nNo figure was reached that a budget is on."
    rows = []
    for line in report.budgets:
        title = metric(line.metric).title
        mark = _MARKS[status(line)]
        rows.append((_safe(title), f"**{measured(line)}**", bound(line), mark, _safe(line.reason)))
    return "### Budget\n\n" + _table(("metric", "measured", "limit", "", "why this limit"), rows, right=(1, 2))


def _ladder(report: Report) -> str:
    rows = [
        (CHECK_TITLES[name], _MARKS[check.status if check else None], _found(check))
        for name, check in checks_of(report)
    ]
    return "### Ladder\n\n" + _table(("rung", "", "what it found"), rows)


def _found(check: Check | None) -> str:
    if check is None:
        return ""
    failures = [_safe(text) for text in check.failures[:_MAX_FAILURES] if text != check.summary]
    if len(check.failures) > _MAX_FAILURES:
        failures.append(f"… and {len(check.failures) - _MAX_FAILURES} more")
    warnings = [f"⚠️ {_safe(text)}" for text in check.warnings[:_MAX_FAILURES]]
    return "<br>".join([_safe(check.summary), *(f"• {text}" for text in failures), *warnings])


def _errors(report: Report) -> str:
    rows = []
    figures = _FIGURES if any("mean_kl" in one.figures for one in report.comparisons) else _OF_ENCODERS
    for name in _COMPARISONS:
        found = comparison(report, name)
        if found is None:
            continue
        cells = [
            quantity(found.figures[key].value, metric(key).unit) if key in found.figures else "–" for key in figures
        ]
        mean = found.figures.get("mean_kl")
        if mean and interval("mean_kl", mean):
            cells[0] += f"<br><sub>{interval('mean_kl', mean)}</sub>"
        rows.append((f"{COMPARISON_TITLES[name]}<br><sub>{_safe(found.reference)} → {_safe(found.artifact)}</sub>",
                     *cells))  # fmt: skip
    if not rows:
        return ""
    header = ("error", *(metric(key).title for key in figures))
    return "### Three errors apart\n\n" + _table(header, rows, right=range(1, len(header)))


def _defects(report: Report) -> str:
    found = defects(report)
    if not found:
        return ""
    rows = [
        (
            title,
            _safe(engine(one)),
            _safe(one.name),
            _safe(one.concerns),
            _safe(one.effect),
            f"{one.count:,}",
        )
        for title, one in found
    ]
    return (
        "### Runtime defects\n\nWhat the engine does otherwise than the checkpoint says, whatever artifact it runs: no part of "
        "the verdict without --strict.\n\n"
        + _table(("check", "engine", "defect", "concerns", "effect", "count"), rows, right=(5,))
    )


def _deviations(report: Report) -> str:
    if not report.deviations:
        return ""
    rows = [(_safe(one.name), _safe(one.summary), *map(_safe, deviation(one))) for one in report.deviations]
    return (
        "### What the runtime does otherwise than the model\n\nWhatever file it runs, so this is not part of the verdict. "
        "The error of a row of a picture is over its size, both as RMS.\n\n"
        + _table(("deviation", "", "error of rows", "pictures that differ"), rows)
    )


def _generations(pairs: Sequence[GenerationPair]) -> str:
    if not pairs:
        return ""
    diverged = [pair for pair in pairs if pair.divergence is not None]
    kept = sum(pair.tokens if pair.divergence is None else pair.divergence for pair in pairs)
    total = sum(pair.tokens for pair in pairs)
    near = sum(1 for pair in diverged if pair.near_tie)
    lines = [
        f"### Generations\n\n{len(pairs) - len(diverged)} of {len(pairs)} greedy answers are the reference's own, token "
        f"by token; {percent(kept / total) if total else '–'} of the tokens come before a divergence. "
        f"At {near} of {len(diverged)} divergences the reference itself was near a tie."
    ]
    rows = [
        (_prompt(pair), f"{pair.divergence} of {pair.tokens}", _token(pair.reference_token),
         _token(pair.artefact_token), "–" if pair.gap is None else significant(pair.gap))
        for pair in diverged[:5]
    ]  # fmt: skip
    if rows:
        lines.append(_table(("prompt", "diverges at", "reference", "artifact", "gap"), rows, right=(1, 4)))
    return "\n\n".join(lines)


def _prompt(pair: GenerationPair) -> str:
    return _safe(pair.prompt, 80) + (f" ({_safe(pair.runtime, 30)})" if pair.runtime else "")


def _token(text: str | None) -> str:
    return "–" if text is None else f"“{_safe(escape.visible(text, keep=''), 40)}”"


def _table(header: Sequence[str], rows: Iterable[Sequence[str]], right: Iterable[int] = ()) -> str:
    flush = set(right)
    rule = ["---:" if column in flush else "---" for column in range(len(header))]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in (header, rule, *rows))
