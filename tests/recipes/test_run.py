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
from edgeconv.core.digest import sha256_file
from edgeconv.core.manifest import read_manifest
from edgeconv.core.progress import Silent
from edgeconv.core.unchanged import Unchanged
from edgeconv.publish import card, gate
from edgeconv.recipes.load import load
from edgeconv.recipes.run import carry_out
from edgeconv.recipes.unit import units

from ..cli.conftest import Command
from ..hub.conftest import Recorder
from ..hub.server import HubServer
from ..words import WORDS

RECIPE = """\
name: small
source:
  model: org/glm-tiny
targets:
  good:
    format: openvino
    precision: int8
    suite: words.jsonl
    quick: true
    budget: {{top1: 0}}
    publish: {{repo: org/good}}
  strict:
    format: openvino
    precision: int8
    suite: words.jsonl
    quick: true
    budget: {{mean_kl: {limit}}}
    publish: {{repo: org/strict}}
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("EDGECONV_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)
    (tmp_path / "words.jsonl").write_text(WORDS)
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
    # a report that was edited is measured again
    report = folder / "out/small-good/parity/parity.json"
    report.write_text(json.dumps(json.loads(report.read_text("utf-8")) | {"notes": ["edited"]}), "utf-8")
    assert stages(edgeconv(*run))[0]["parity"] == "done"
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


PLAIN = """\
name: small
source:
  model: {model}
targets:
  good:
    format: openvino
    precision: {precision}
    parity: false
"""


def test_what_another_recipe_made_is_not_replaced(edgeconv: Command, folder: Path) -> None:
    recipe = folder / "r.yaml"
    run = ("run", recipe, "--output", folder / "out", "--json", "--quiet")
    recipe.write_text(PLAIN.format(model=model_path(), precision="int8"))
    assert stages(edgeconv(*run)) == [{"convert": "done"}]
    assert stages(edgeconv(*run)) == [{"convert": "as before"}]
    before = (folder / "out/small-good/edgeconv.json").read_bytes()
    recipe.write_text(PLAIN.format(model=model_path(), precision="int4"))
    other = edgeconv(*run)
    assert (other.code, stages(other)) == (1, [{"convert": "failed"}])
    assert "did not make it" in other.data[0]["error"]["message"]
    assert (folder / "out/small-good/edgeconv.json").read_bytes() == before
    (folder / "out/small-good/openvino_model.bin").write_bytes(b"")
    recipe.write_text(PLAIN.format(model=model_path(), precision="int8"))
    assert "is damaged" in edgeconv(*run).data[0]["error"]["message"]


@pytest.mark.slow
@pytest.mark.fault("run: kill -9 between two stages", says="What was finished is not done again.")
def test_a_killed_run_goes_on_where_it_stopped(folder: Path) -> None:
    text = RECIPE.format(limit="1.0").replace("org/glm-tiny", str(model_path()))
    (folder / "r.yaml").write_text(text)
    line = [sys.executable, "-m", "edgeconv", "run", str(folder / "r.yaml"), "--output", str(folder / "out"), "--json"]
    line += ["--only", "good"]
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
    assert [o["stages"] for o in json.loads(done.stdout)] == [{"convert": "as before", "parity": "done"}]


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("mean_kl", "men_kl", "men_kl"),
        ("suite: words.jsonl", "suite: absent.txt", "'absent.txt', which is not there"),
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


@pytest.mark.fault("run: one target fails", says="The others go on; the exit code says so at the end.")
def test_one_target_fails_and_the_others_go_on(edgeconv: Command, folder: Path) -> None:
    (folder / "r.yaml").write_text(SEVERAL.format(model=model_path()))
    result = edgeconv("run", folder / "r.yaml", "--output", folder / "out", "--json", "--quiet")
    assert result.code == 2  # an error stands before a lost parity
    assert stages(result) == [
        {"convert": "done", "parity": "failed"},
        {"convert": "failed"},
        {"convert": "done"},
    ]
    assert [outcome["exit_code"] for outcome in result.data] == [3, 2, 0]
    assert edgeconv("run", folder / "r.yaml", "--output", folder / "out", "--only", "strict", "--quiet").code == 3


SEVERAL = """\
name: several
source:
  model: {model}
targets:
  strict:
    format: openvino
    precision: int4
    suite: words.jsonl
    quick: true
    budget: {{mean_kl: 1.0e-12}}
  wrong:
    format: openvino
    precision: int4
    group_size: 77
    parity: false
  plain:
    format: gguf
    type: q8_0
    parity: false
"""


@pytest.mark.fault("publish: folders of this machine, on the card or in a report", says="On nothing that is sent.")
def test_a_folder_is_hashed_once_and_the_reference_computed_once(
    folder: Path, monkeypatch: pytest.MonkeyPatch, progress: Recorder
) -> None:
    (folder / "r.yaml").write_text(TWO.format(model=model_path()))
    hashed: list[Path] = []
    true = Unchanged.sha256
    monkeypatch.setattr(Unchanged, "sha256", lambda own, path, task=None: hashed.append(path) or true(own, path, task))
    path = folder / "r.yaml"
    found = units(load(path), path, folder / "out")
    outcomes = [carry_out(unit, progress, publishing=False) for unit in found]
    assert [outcome.error for outcome in outcomes] == [None, None]
    assert [p.name for p in hashed].count("model.safetensors") == 1
    assert len(set(hashed)) == len(hashed)
    assert [task.description for task in progress.tasks].count("Running the reference") == 1
    manifests = [read_manifest(unit.output) for unit in found]
    for name, digest in manifests[0].source.files.items():
        assert digest.sha256 == sha256_file(model_path() / name)
    assert manifests[1].source.files["model.safetensors"] == manifests[0].source.files["model.safetensors"]
    for unit, manifest in zip(found, manifests, strict=True):
        _no_place_of_this_machine(unit.output, set(manifest.outputs), folder)


def _no_place_of_this_machine(output: Path, names: set[str], folder: Path) -> None:
    """What would be published, the card too, names no folder of the person who made it."""
    sent = [output / name for name in names] + [output / "edgeconv.json", *(output / "parity").iterdir()]
    made = card.render(gate.clear(output, Silent()), "org/name").encode()
    for place in (folder, model_path(), Path.home()):
        assert not any(str(place).encode() in data for data in (made, *(path.read_bytes() for path in sent)))


TWO = """\
name: two
source:
  model: {model}
targets:
  ir:
    format: openvino
    precision: int8
    suite: words.jsonl
    quick: true
    budget: {{top1: 0}}
  gguf:
    format: gguf
    type: q8_0
    suite: words.jsonl
    quick: true
    budget: {{top1: 0}}
"""


def test_a_file_that_changed_is_hashed_again(folder: Path, progress: Recorder) -> None:
    from edgeconv.convert.conversion.source import Kept

    source = folder / "source"
    source.mkdir()
    (source / "a").write_bytes(b"one")
    kept = Kept(source, progress)
    assert kept["a"] == sha256_file(source / "a")
    (source / "a").write_bytes(b"two")
    os.utime(source / "a", ns=(1, 1))
    assert kept["a"] == sha256_file(source / "a")
    assert (list(kept), len(kept), "a" in kept, kept.get("b")) == (["a"], 1, True, None)
