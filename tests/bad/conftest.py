"""A bench for one test, in which command lines run in this process."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from .commands import Bench, bench


@pytest.fixture
def bad(request: pytest.FixtureRequest, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> Iterator[Bench]:
    """Run command lines; those that are refused are recorded under the title of the test's marker `fault`."""
    marker = request.node.get_closest_marker("fault")
    with bench(tmp_path, capfd, marker.args[0] if marker else None) as made:
        yield made
