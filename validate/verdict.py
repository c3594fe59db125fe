"""The verdict: budgets held against figures, checks in order, everything in one report."""

from __future__ import annotations

from collections.abc import Sequence

from . import budget
from .record import Record
from .report.model import (
    BudgetLine,
    Check,
    CheckName,
    Comparison,
    Report,
    Subject,
)
from .suite import EncodedDocument, Suite
from .target import ValidationTarget

_TEXT: tuple[CheckName, ...] = ("structure", "template", "tokens", "logits", "decode", "generation")
VISION: tuple[CheckName, ...] = ("pixels", "vision", "merged", "captions")
SLOW: tuple[CheckName, ...] = ("decode", "generation", *VISION)
"""What a quick validation leaves out."""


def order(*, takes_images: bool) -> tuple[CheckName, ...]:
    """Return the checks that an artifact has, in their order."""
    return (*_TEXT, *VISION) if takes_images else _TEXT


def report(
    pair: ValidationTarget,
    suite: Suite,
    documents: Sequence[EncodedDocument],
    budgets: list[budget.Budget],
    *,
    dtype: str,
    found: Record,
    recipe: str = "",
    expected: tuple[CheckName, ...] | None = None,
    counted: tuple[int, int] | None = None,
) -> Report:
    """Judge, and put the report together.

    Args:
        pair: what was measured.
        suite: the texts.
        documents: of them, in tokens.
        budgets: the limits.
        dtype: of the reference.
        found: checks and figures.
        recipe: the SHA-256 of the recipe that asked.
        expected: the checks that there have to be, in their order; None: those of a decoder.
        counted: number of texts and of tokens, where there are no documents.
    """
    expected = expected or order(takes_images=pair.takes_images)
    checks = sorted(found.rungs, key=lambda check: expected.index(check.name))
    lines = [*budget.judge(budgets, found.comparisons), *found.lines]
    first = _first_failed(checks, lines, expected)
    texts, tokens = counted or (len(documents), sum(len(document.ids) for document in documents))
    return Report(
        verdict="failed" if first else "passed" if all(line.passed for line in lines) else "undecided",
        first_failed=first,
        artifact=_artifact(pair),
        reference=Subject(
            name=pair.reference_name,
            digest=pair.weights_digest,
            facts={"dtype": dtype, "parameters": f"{pair.checkpoint.parameters:,}"},
        ),
        suite=Subject(
            name=suite.name,
            digest=suite.digest,
            facts={"documents": str(texts), "tokens": str(tokens)} | ({"recipe": recipe} if recipe else {}),
        ),
        budgets=lines,
        rungs=checks,
        comparisons=found.comparisons,
        documents=found.colored,
        generations=found.generations,
        deviations=found.deviations,
        notes=found.notes,
        seconds={name: round(value, 2) for name, value in found.seconds.items()},
        versions=_versions(pair.artifact.packages),
        sees=pair.takes_images,
        activations=found.peaks,
    )


def logits_check(checks: Sequence[Check], budgets: list[budget.Budget], comparisons: list[Comparison]) -> Check:
    """Sum up check 3: it fails by the conversion's error; the budget on the compression is judged apart."""
    # the long probe runs through the cache: where that is broken, the decode check says it
    cached = any(check.name == "decode" and check.status == "failed" for check in checks)
    judged = ("conversion",) if cached else ("conversion", "long_context")
    failures = [
        f"{line.metric} is {line.value:.3g}, the budget {line.limit:g} ({line.reason})"
        for line in budget.judge(budgets, comparisons)
        if not line.passed and line.metric.split(".")[0] in judged
    ]
    for comparison in comparisons:
        bad = comparison.figures["not_finite"].value
        if bad:
            sides = f"of the reference ({comparison.reference}) or of the artifact ({comparison.artifact})"
            failures.append(f"{comparison.name}: {bad:,.0f} logits are NaN or infinite, {sides}")
    by_name = {c.name: c for c in comparisons}
    kl = by_name["quantisation"].figures
    summary = f"mean KL {kl['mean_kl'].value:.3g} nats, top-1 agreement {kl['top1'].value:.1%}"
    if "conversion" in by_name:
        summary += f"; conversion alone: max |Δlogit| {by_name['conversion'].figures['max_abs_logit'].value:.2g}"
    return Check(name="logits", status="failed" if failures else "passed", summary=summary, failures=failures)


def _first_failed(checks: Sequence[Check], lines: Sequence[BudgetLine], expected: tuple[CheckName, ...]) -> str | None:
    failed = [check.name for check in checks if check.status == "failed"]
    missing = [name for name in expected if name not in {check.name for check in checks}]
    if failed or missing:
        return min([*failed, *missing], key=expected.index)
    return None if all(line.passed or not line.decided for line in lines) else "budget"


def _artifact(pair: ValidationTarget) -> Subject:
    artifact = pair.artifact
    return Subject(name=artifact.path.resolve().name, digest=artifact.digest, facts=artifact.facts)


def _versions(packages: Sequence[str]) -> dict[str, str]:
    from importlib.metadata import version

    return {name: version(name) for name in ("edgeconv", *packages, "torch", "transformers")}
