"""The shell of the reusable workflow, run as GitHub would, against the tests' Hub."""

import os
import subprocess
import sys
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


@pytest.mark.slow
def test_from_an_empty_folder_to_a_published_repository(writable: HubServer, tmp_path: Path) -> None:
    writable.add_repo("org/glm-tiny", model_path())
    (tmp_path / "words.txt").write_text(WORDS)
    (tmp_path / "r.yaml").write_text(RECIPE.format(limit=1))
    summary = tmp_path / "summary.md"
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "RECIPE": "r.yaml",
        "ONLY": "good",
        "PUBLISH": "true",
        "GITHUB_STEP_SUMMARY": str(summary),
        "EDGECONV_CACHE": str(tmp_path / "cache"),
        "OMP_NUM_THREADS": "1",
    }
    steps = yaml.safe_load(WORKFLOW.read_text())["jobs"]["release"]["steps"]
    scripts = [step["run"] for step in steps if "run" in step and step["name"] != "Install"]
    assert len(scripts) == 2
    for script in scripts:
        subprocess.run(["bash", "-eo", "pipefail", "-c", script], cwd=tmp_path, env=environment, check=True)
    assert set(writable.repos) == {"org/glm-tiny", "org/good"}
    assert "Passed" in summary.read_text("utf-8")
    assert (tmp_path / "out/small-good/parity/parity.html").is_file()
