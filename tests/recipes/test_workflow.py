"""The shell of the reusable workflow, run as GitHub would, against the tests' Hub."""

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from edgeconv.builtin import model_path

from ..hub.conftest import TOKEN
from ..hub.server import HubServer
from .test_run import RECIPE, WORDS

WORKFLOW = Path(__file__).parents[2] / ".github/workflows/publish.yml"


WORKFLOWS = sorted(WORKFLOW.parent.glob("*.y*ml"))


def steps(path: Path = WORKFLOW) -> list[dict[str, Any]]:
    jobs = yaml.safe_load(path.read_text())["jobs"]
    return [step for job in jobs.values() for step in job["steps"]]


def test_every_input_reaches_the_shell_through_the_environment() -> None:
    """An expression in a script would let an input's text run as a command."""
    job = yaml.safe_load(WORKFLOW.read_text())["jobs"]["release"]
    assert not any("${{" in step.get("run", "") for step in steps())
    for name in ("RECIPE", "ONLY", "EDGECONV"):
        assert f"inputs.{name.lower()}" in job["env"][name]


def test_the_token_that_may_write_is_seen_by_one_step_that_converts_nothing() -> None:
    workflow = yaml.safe_load(WORKFLOW.read_text())
    assert "secrets" not in str(workflow["jobs"]["release"].get("env"))
    assert "secrets" not in str(workflow.get("env"))
    writes = [step for step in steps() if "secrets.HF_TOKEN" in str(step)]
    assert [step["name"] for step in writes] == ["Publish"]
    assert "== '0'" in writes[0]["if"]  # by then all is converted and measured
    assert [step["name"] for step in steps() if "--publish" in step.get("run", "")] == ["Publish"]
    others = [step["name"] for step in steps() if "secrets.HF_READ_TOKEN" in str(step)]
    assert others == ["Plan", "Convert and measure"]


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_a_workflow_may_read_only_and_runs_actions_of_known_commits(path: Path) -> None:
    workflow = yaml.safe_load(path.read_text())
    assert workflow["permissions"] == {"contents": "read"}
    assert not any("permissions" in job for job in workflow["jobs"].values())
    for step in steps(path):
        if "uses" in step:
            assert re.fullmatch(r"actions/[a-z-]+@[0-9a-f]{40}", step["uses"])
        if step.get("uses", "").startswith("actions/checkout@"):
            assert step["with"]["persist-credentials"] is False
    for line in path.read_text().splitlines():
        if "uses: actions/" in line:
            assert re.search(r"# v\d+\.\d+\.\d+$", line), "the sign says which release the commit is"


def test_what_is_installed_is_known_by_hash_and_commit() -> None:
    install = next(step["run"] for step in steps() if step.get("name") == "Install")
    assert "--require-hashes --requirement .edgeconv/constraints.txt" in install
    assert all("--require-hashes" in line or "--no-deps --no-build-isolation" in line for line in install.splitlines())
    looks = next(step["run"] for step in steps() if step.get("name") == "Look at the commit")
    for text, code in (("0" * 40, 0), ("main", 2), ("v1.0", 2), ("0" * 40 + "\n", 2), ("", 2)):
        done = subprocess.run(["bash", "-e", "-c", looks], env={"EDGECONV": text}, check=False, capture_output=True)
        assert done.returncode == code, text


def test_no_page_advises_a_branch_of_the_workflow() -> None:
    root = WORKFLOW.parents[2]
    for path in [root / "README.md", *WORKFLOWS, *(root / "docs").glob("*.md")]:
        assert not re.search(r"uses:.*@(main|master|v?\d)\b", path.read_text("utf-8")), path


@pytest.fixture
def shell(writable: HubServer, tmp_path: Path) -> Callable[[str], int]:
    """Runs the workflow's scripts for one target in an empty folder, as GitHub does: a step that fails ends it, but for `if`."""
    writable.add_repo("org/glm-tiny", model_path())
    (tmp_path / "words.jsonl").write_text(WORDS)
    (tmp_path / "r.yaml").write_text(RECIPE.format(limit="1.0e-12"))
    scripts = {step["name"]: step["run"] for step in steps() if "run" in step}
    assert list(scripts) == ["Look at the commit", "Install", "Plan", "Convert and measure", "Publish"]

    def step(name: str, only: str, token: str) -> int:
        environment = {
            **os.environ,
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "RECIPE": "r.yaml",
            "ONLY": only,
            "HF_TOKEN": token,
            "GITHUB_STEP_SUMMARY": str(tmp_path / "summary.md"),
            "GITHUB_OUTPUT": str(tmp_path / "output"),
            "EDGECONV_CACHE": str(tmp_path / "cache"),
            "OMP_NUM_THREADS": "1",
        }
        line = ["bash", "-eo", "pipefail", "-c", scripts[name]]
        return subprocess.run(line, cwd=tmp_path, env=environment, check=False).returncode

    def run(only: str) -> int:
        if code := step("Plan", only, ""):
            return code
        code = step("Convert and measure", only, "")
        assert (tmp_path / "output").read_text().splitlines()[-1] == f"code={code}"
        return step("Publish", only, TOKEN) if code in (0, 3) else code

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
