"""The shell of the reusable workflow, run as GitHub would, against the tests' Hub."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from edgeconv.builtin import model_path

from ..hub.server import HubServer
from .test_run import RECIPE, WORDS

WORKFLOW = Path(__file__).parents[2] / ".github/workflows/publish.yml"


def test_every_input_reaches_the_shell_through_the_environment() -> None:
    """An expression in a script would let an input's text run as a command."""
    job = yaml.safe_load(WORKFLOW.read_text())["jobs"]["release"]
    assert not any("${{" in step.get("run", "") for step in job["steps"])
    for name in ("RECIPE", "ONLY", "PUBLISH", "EDGECONV"):
        assert f"inputs.{name.lower()}" in job["env"][name]


@pytest.fixture
def shell(writable: HubServer, tmp_path: Path) -> Callable[[str], int]:
    """Runs the workflow's scripts for one target in an empty folder, as GitHub does: the first that fails ends it."""
    writable.add_repo("org/glm-tiny", model_path())
    (tmp_path / "words.jsonl").write_text(WORDS)
    (tmp_path / "r.yaml").write_text(RECIPE.format(limit="1.0e-12"))
    steps = yaml.safe_load(WORKFLOW.read_text())["jobs"]["release"]["steps"]
    scripts = [step["run"] for step in steps if "run" in step and step["name"] != "Install"]
    assert len(scripts) == 2

    def run(only: str) -> int:
        environment = {
            **os.environ,
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "RECIPE": "r.yaml",
            "ONLY": only,
            "PUBLISH": "true",
            "GITHUB_STEP_SUMMARY": str(tmp_path / "summary.md"),
            "EDGECONV_CACHE": str(tmp_path / "cache"),
            "OMP_NUM_THREADS": "1",
        }
        for script in scripts:
            done = subprocess.run(["bash", "-eo", "pipefail", "-c", script], cwd=tmp_path, env=environment, check=False)
            if done.returncode:
                return done.returncode
        return 0

    return run


@pytest.mark.slow
def test_from_an_empty_folder_to_a_published_repository(
    shell: Callable[[str], int], writable: HubServer, tmp_path: Path
) -> None:
    """Of two targets one keeps its budget; the other fails the job, and nothing of it is published."""
    assert shell("") == 3
    assert set(writable.repos) == {"org/glm-tiny", "org/good"}
    summary = (tmp_path / "summary.md").read_text("utf-8")
    assert "Passed" in summary
    for row in ("| metric | measured | limit |", "| mean KL | **", "| top-1 agreement | **"):
        assert row in summary
    assert "Failed" in summary
    assert "❌ failed" in summary
    assert (tmp_path / "out/small-good/parity/parity.html").is_file()
    assert shell("good") == 0


def test_our_own_workflow_runs_the_two_commands_of_the_readme() -> None:
    root = WORKFLOW.parents[2]
    told = (root / "README.md").read_text("utf-8").split("## Two commands")[1].split("```")[1]
    commands = [line.split("#")[0].strip() for line in told.strip().splitlines()]
    steps = yaml.safe_load((root / ".github/workflows/ci.yml").read_text())["jobs"]["check"]["steps"]
    runs = [step["run"] for step in steps if "run" in step]
    assert commands == ["make demo", "make test"]
    assert "bash .ci/run" in runs
    done = [*runs, *(root / ".ci/run").read_text().splitlines()]
    assert all(any(set(command.split()) <= set(line.split()) for line in done) for command in commands)
