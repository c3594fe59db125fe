"""`python -O` takes assertions away, so none may be a check: each tells the type checker what the code around it ensures."""

from __future__ import annotations

import ast
from pathlib import Path

ROOT = Path(__file__).parents[2]
SKIPPED = {"tests", ".venv", "build", "benchmarks"}


def narrows(test: ast.expr) -> bool:
    """True for NAME, `… is not None` and `isinstance(…)`."""
    if isinstance(test, ast.Compare):
        (comparator,) = test.comparators
        return isinstance(test.ops[0], ast.IsNot) and isinstance(comparator, ast.Constant) and comparator.value is None
    if isinstance(test, ast.Call):
        return isinstance(test.func, ast.Name) and test.func.id == "isinstance"
    return isinstance(test, ast.Name | ast.Attribute)


def test_no_assertion_is_a_check() -> None:
    files = [p for p in ROOT.rglob("*.py") if not SKIPPED & set(p.relative_to(ROOT).parts)]
    assert len(files) > 300
    found = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path in files
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Assert) and not narrows(node.test)
    ]
    assert found == []
    assert not narrows(ast.parse("all(x)", mode="eval").body)
    assert not narrows(ast.parse("not x.keys", mode="eval").body)
