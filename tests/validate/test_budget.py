from __future__ import annotations

import math

import pytest

from edgeconv.core.errors import UsageError
from edgeconv.validate import budget
from edgeconv.validate.report.model import Comparison, Estimate, Histogram


def comparison(name: str, **figures: tuple[float, float, float] | float) -> Comparison:
    made = {
        key: Estimate(value=v) if isinstance(v, float | int) else Estimate(value=v[0], low=v[1], high=v[2])
        for key, v in figures.items()
    }
    return Comparison(
        name=name, reference="", artifact="", tokens=1, documents=1, figures=made,
        histogram=Histogram(edges=[0, 1], counts=[1]), positions=[],
    )  # fmt: skip


def verdicts(lines: list) -> dict[str, bool]:
    return {line.metric: line.passed for line in lines}


def test_the_bad_end_of_the_interval_decides() -> None:
    budgets = [budget.Budget("quantisation", "mean_kl", 0.1, ""), budget.Budget("quantisation", "top1", 0.9, "")]
    good = comparison("quantisation", mean_kl=(0.05, 0.02, 0.09), top1=(0.95, 0.91, 0.97))
    wide = comparison("quantisation", mean_kl=(0.05, 0.02, 0.11), top1=(0.95, 0.89, 0.97))
    assert all(verdicts(budget.judge(budgets, [good])).values())
    lines = budget.judge(budgets, [wide])
    assert not any(verdicts(lines).values())
    assert not any(line.decided for line in lines), "the limit lies within the interval"
    assert [(line.value, line.worst) for line in lines] == [(0.05, 0.11), (0.95, 0.89)], "one name, one figure"
    bad = comparison("quantisation", mean_kl=(0.2, 0.11, 0.4), top1=(0.8, 0.7, 0.89))
    lines = budget.judge(budgets, [bad])
    assert all(line.decided and not line.passed for line in lines)


def test_a_mean_without_an_interval_decides_nothing_and_a_largest_error_does() -> None:
    budgets = [
        budget.Budget("quantisation", "mean_kl", 0.1, ""),
        budget.Budget("conversion", "max_abs_logit", 1e-3, ""),
    ]
    for kl, largest in ((1e-9, 1e-5), (5.0, 1.0)):
        found = [comparison("quantisation", mean_kl=kl), comparison("conversion", max_abs_logit=largest)]
        mean, worst = budget.judge(budgets, found)
        assert not mean.passed
        assert not mean.decided
        assert worst.decided
        assert worst.passed == (largest < 1e-3)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_what_is_no_number_fails(value: float) -> None:
    lines = budget.judge(
        [budget.Budget("quantisation", "mean_kl", 0.1, "")], [comparison("quantisation", mean_kl=value)]
    )
    assert not lines[0].passed


def test_a_missing_figure_fails() -> None:
    budgets = [budget.Budget("quantisation", "mean_kl", 0.1, "")]
    assert not budget.judge(budgets, [])[0].passed
    assert not budget.judge(budgets, [comparison("quantisation", top1=1.0)])[0].passed


def test_an_unknown_metric_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match="mean_kll"):
        budget.override(budget.table("int4_sym", 10**9), {"mean_kll": 0.1})


def test_the_users_limit_replaces_the_tables() -> None:
    made = budget.override(budget.table("int4_sym", 10**9), {"mean_kl": 0.5, "kl_99": 2.0})
    limits = {(b.comparison, b.metric): b.limit for b in made}
    assert limits["quantisation", "mean_kl"] == 0.5
    assert limits["quantisation", "kl_99"] == 2.0
    assert limits["conversion", "max_abs_logit"] == 1e-3


@pytest.mark.parametrize(
    ("mode", "parameters", "limit"),
    [
        ("bf16", 1, 1e-4),
        ("int8_asym", 1, 0.02),
        ("int8_asym", 10**10, 0.01),
        ("int4_sym", 10**9, 0.10),
        ("nf4", 10**10, 0.05),
        ("int2_sym", 1, 0.5),
    ],
)
def test_the_table(mode: str, parameters: int, limit: float) -> None:
    assert next(b.limit for b in budget.table(mode, parameters) if b.metric == "mean_kl") == limit
