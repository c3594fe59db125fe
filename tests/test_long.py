"""The list of the longest tests names tests that are there."""

from pathlib import Path

import pytest

from .long import LONG


@pytest.mark.parametrize("begin", LONG)
def test_a_line_names_a_test(begin: str) -> None:
    file, _, name = begin.partition("::")
    assert f"def {name.partition('[')[0]}(" in (Path(__file__).parents[1] / file).read_text("utf-8")
