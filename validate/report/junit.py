"""The report as JUnit XML, which every CI system can show: a test case per check and per budget line."""

from __future__ import annotations

from xml.etree import ElementTree as Tree

from ...core.escape import visible
from .model import BudgetLine, Check, CheckName, Report
from .words import CHECK_TITLES, bound, checks_of, measured, metric, reason, sentence


def render(report: Report) -> str:
    """Return JUnit XML (the dialect that Jenkins, GitLab and GitHub's reporters read), UTF-8, two suites."""
    root = Tree.Element("testsuites", name=_clean(f"edgeconv parity of {report.artifact.name}"))
    ladder = Tree.SubElement(root, "testsuite", name="ladder")
    for name, check in checks_of(report):
        _add(ladder, name, check)
    budget = Tree.SubElement(root, "testsuite", name="budget")
    for line in report.budgets:
        _budget(budget, line)
    if report.verdict != "passed" and root.find(".//failure") is None:
        _failure(_case(ladder, "verdict", 0.0), reason(report), "")  # a file without failures would read as a pass
    for suite in (ladder, budget, root):
        _count(suite)
    Tree.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + Tree.tostring(root, encoding="unicode") + "\n"


def _add(suite: Tree.Element, name: CheckName, check: Check | None) -> None:
    case = _case(suite, name, check.seconds if check else 0.0)
    if check is None:
        _failure(case, f"{CHECK_TITLES[name]}: the check left no result", "")
    elif check.status == "failed":
        _failure(case, next(iter(check.failures), check.summary), "\n".join(check.failures))
    elif check.status == "skipped":
        Tree.SubElement(case, "skipped", message=_clean(check.summary))
    if check:
        lines = [check.summary, *(f"warning: {text}" for text in check.warnings)]
        lines += [f"runtime defect: {sentence(defect)}." for defect in check.defects]
        Tree.SubElement(case, "system-out").text = _clean("\n".join(lines))


def _budget(suite: Tree.Element, line: BudgetLine) -> None:
    case = _case(suite, line.metric, 0.0)
    text = f"{metric(line.metric).title} is {measured(line)}, the limit {bound(line)}"
    if not line.passed:
        _failure(case, text if line.decided else f"{text}: too few texts to judge", line.reason)
    Tree.SubElement(case, "system-out").text = _clean(f"{text}: {line.reason}")


def _case(suite: Tree.Element, name: str, seconds: float) -> Tree.Element:
    place = f"edgeconv.parity.{suite.get('name')}"
    return Tree.SubElement(suite, "testcase", classname=place, name=_clean(name), time=f"{seconds:.3f}")


def _failure(case: Tree.Element, message: str, text: str) -> None:
    Tree.SubElement(case, "failure", message=_clean(message), type="ParityError").text = _clean(text)


def _count(suite: Tree.Element) -> None:
    cases = list(suite.iter("testcase"))
    suite.set("tests", str(len(cases)))
    suite.set("failures", str(len(list(suite.iter("failure")))))
    suite.set("errors", "0")
    suite.set("skipped", str(len(list(suite.iter("skipped")))))
    suite.set("time", f"{sum(float(case.get('time', '0')) for case in cases):.3f}")


def _clean(text: str) -> str:
    """XML 1.0 has no place for control characters, not even escaped."""
    return visible(text)
