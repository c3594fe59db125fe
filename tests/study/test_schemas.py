"""The schemas in docs/ are those of what --json answers."""

import subprocess
import sys
from pathlib import Path

import pytest

from edgeconv.study.schemas import MODELS, SUFFIX, render

DOCS = Path(__file__).parents[2] / "docs"


@pytest.mark.parametrize("name", MODELS)
def test_current(name: str) -> None:
    file = DOCS / f"{name}{SUFFIX}"
    assert file.read_text("utf-8") == render(file), "run `make docs`"


def test_the_program_writes_and_checks(tmp_path: Path) -> None:
    def run(*arguments: object) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "edgeconv.study.schemas", *map(str, arguments)]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    path = tmp_path / "parity.schema.json"
    assert run("--check", path).returncode == 1
    assert run(path).returncode == 0
    assert run("--check", path).returncode == 0
    path.write_text(path.read_text("utf-8") + " ")
    stale = run("--check", path)
    assert stale.returncode == 1
    assert "make docs" in stale.stderr
