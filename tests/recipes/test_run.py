"""From an empty folder: a recipe in, a published repository out, and back again into a runtime."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from edgeconv.builtin import model_path

from ..cli.conftest import Command
from ..hub.server import HubServer

RECIPE = """\
name: small
source:
  model: org/glm-tiny
targets:
  good:
    format: openvino
    precision: int8
    suite: words.txt
    publish: {{repo: org/good}}
  strict:
    format: openvino
    precision: int8
    suite: words.txt
    budget: {{mean_kl: {limit}}}
    publish: {{repo: org/strict}}
"""
WORDS = "The cat sat on the mat, and the dog lay in the garden.\n\nWhat is the capital of Italy? Rome.\n\n" * 6


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("EDGECONV_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)
    (tmp_path / "words.txt").write_text(WORDS)
    (tmp_path / "r.yaml").write_text(RECIPE.format(limit="1.0e-12"))
    return tmp_path


def stages(result: object) -> list[dict[str, str]]:
    return [outcome["stages"] for outcome in result.data]  # type: ignore[attr-defined]


@pytest.mark.slow
def test_recipe_in_published_repository_out(
    edgeconv: Command, writable: HubServer, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writable.add_repo("org/glm-tiny", model_path())
    run = ("run", folder / "r.yaml", "--output", folder / "out", "--publish", "--json", "--quiet")
    first = edgeconv(*run)
    assert first.code == 3
    assert stages(first) == [
        {"convert": "done", "parity": "done", "publish": "done"},
        {"convert": "done", "parity": "failed"},
    ]
    assert set(writable.repos) == {"org/glm-tiny", "org/good"}
    again = edgeconv(*run)
    assert stages(again)[0] == {"convert": "as before", "parity": "as before", "publish": "as before"}
    assert len(writable.commits) == 1
    assert edgeconv("verify", "org/good").code == 0
    assert edgeconv("diff", "org/good", folder / "out/small-good", "--json").data["same"]
    # a budget that is moved is measured again, and nothing is converted again
    (folder / "r.yaml").write_text(RECIPE.format(limit="1.0"))
    mended = edgeconv(*run)
    assert (mended.code, stages(mended)[1]) == (0, {"convert": "as before", "parity": "done", "publish": "done"})
    _back_again(folder, writable)


def _back_again(folder: Path, hub: HubServer) -> None:
    import openvino_genai
    from huggingface_hub import snapshot_download

    there = snapshot_download("org/good", local_dir=folder / "back")
    pipe = openvino_genai.LLMPipeline(there, "CPU")
    assert "Rome" in str(pipe.generate("What is the capital of Italy?", max_new_tokens=20))
    card = (folder / "back/README.md").read_text("utf-8")
    assert "base_model: org/glm-tiny" in card
    assert "mean KL" in card


def test_what_another_recipe_made_is_not_replaced(edgeconv: Command, folder: Path) -> None:
    text = RECIPE.format(limit=1).replace("org/glm-tiny", str(model_path()))
    (folder / "r.yaml").write_text(text.replace("precision: int8", "precision: int8\n    parity: false").replace(
        "    suite: words.txt\n", "").replace("    budget: {mean_kl: 1}\n", "").replace("    publish: {repo: org/good}\n", "")
        .replace("    publish: {repo: org/strict}\n", ""))  # fmt: skip
    run = ("run", folder / "r.yaml", "--output", folder / "out", "--only", "good", "--json", "--quiet")
    assert stages(edgeconv(*run)) == [{"convert": "done"}]
    assert stages(edgeconv(*run)) == [{"convert": "as before"}]
    before = (folder / "out/small-good/edgeconv.json").read_bytes()
    (folder / "r.yaml").write_text((folder / "r.yaml").read_text().replace("precision: int8", "precision: int4"))
    other = edgeconv(*run)
    assert (other.code, stages(other)) == (1, [{"convert": "failed"}])
    assert "did not make it" in other.data[0]["error"]["message"]
    assert (folder / "out/small-good/edgeconv.json").read_bytes() == before
    (folder / "out/small-good/openvino_model.bin").write_bytes(b"")
    (folder / "r.yaml").write_text((folder / "r.yaml").read_text().replace("precision: int4", "precision: int8"))
    assert "is damaged" in edgeconv(*run).data[0]["error"]["message"]


@pytest.mark.slow
def test_a_killed_run_goes_on_where_it_stopped(folder: Path) -> None:
    text = RECIPE.format(limit="1.0").replace("org/glm-tiny", str(model_path()))
    (folder / "r.yaml").write_text(text)
    line = [sys.executable, "-m", "edgeconv", "run", str(folder / "r.yaml"), "--output", str(folder / "out"), "--json"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    running = subprocess.Popen(line, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment)
    target = folder / "out/small-good/edgeconv.json"
    deadline = time.monotonic() + 120
    while not target.is_file() and time.monotonic() < deadline:
        time.sleep(0.05)
    running.send_signal(signal.SIGKILL)
    running.wait()
    assert target.is_file()
    done = subprocess.run(line, capture_output=True, check=True, env=os.environ | {"OMP_NUM_THREADS": "1"})
    assert [o["stages"] for o in json.loads(done.stdout)] == [
        {"convert": "as before", "parity": "done"},
        {"convert": "done", "parity": "done"},
    ]


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("mean_kl", "men_kl", "men_kl"),
        ("suite: words.txt", "suite: absent.txt", "absent.txt is not there"),
        ("precision: int8", "precision: int8\n    parity: false", "measures nothing"),
        ("  good:\n", "  good:\n    output: small-strict\n", "has the output"),
    ],
)
def test_what_cannot_work_is_refused_before_anything_is_fetched(
    old: str, new: str, says: str, edgeconv: Command, folder: Path
) -> None:
    (folder / "r.yaml").write_text(RECIPE.format(limit=1).replace(old, new))
    result = edgeconv("recipes", "validate", folder / "r.yaml")
    assert result.code == 2
    assert says in result.err


def test_a_plan_names_inputs_and_outputs_of_every_unit(edgeconv: Command, folder: Path) -> None:
    (folder / "r.yaml").write_text(RECIPE.format(limit=1))
    plans = edgeconv("run", folder / "r.yaml", "--model", model_path(), "--dry-run", "--json", "--quiet").data
    assert [plan["unit"] for plan in plans] == ["small/good", "small/strict"]
    assert plans[0]["inputs"]["options"]["precision"] == "int8"
    assert plans[0]["plan"]["output_bytes"] > 1e6
    assert not (folder / "out").exists()


def test_every_option_of_the_command_lines_has_its_field() -> None:
    import typer.main

    from edgeconv.cli.app import app
    from edgeconv.recipes.model import Gguf, OpenVINO, Source

    of_a_run = {"force", "local_files_only", "dry_run", "json", "quiet", "verbose", "help", "validate", "output"}
    commands = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    for name, target in (("openvino", OpenVINO), ("gguf", Gguf)):
        options = {p.name.rstrip("_") for p in commands[name].params} - of_a_run
        assert options <= {*target.model_fields, *Source.model_fields}, name
