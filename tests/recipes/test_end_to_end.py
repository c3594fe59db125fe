"""From an empty folder: a recipe in, real weights from the Hub, a published repository out, and back again into a runtime.

SmolLM2-135M, served by the tests' Hub under a name that has moved since. The snippets of the model cards are run as they stand;
what they answer is not compared with a text, for its first tokens nearly tie: that it is the same model is what the gate showed.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from ..cli.conftest import Command
from ..hub.server import HubServer

RECIPE = """\
name: smollm2
source:
  model: old/smollm2
targets:
  int8:
    format: openvino
    precision: int8
    quick: true
    max_tokens: 200
    budget: {mean_kl: 0.05, top1: 0.8}  # so few tokens leave wide intervals
    publish: {repo: org/smollm2-int8-ov}
  q8_0:
    format: gguf
    type: q8_0
    quick: true
    max_tokens: 200
    budget: {mean_kl: 0.05, top1: 0.8}  # so few tokens leave wide intervals
    publish: {repo: org/smollm2-GGUF, branch: q8_0}
"""
CARD = b"""\
---
license: apache-2.0
language: [en]
tags: [chat]
---
# SmolLM2
"""


@pytest.mark.slow
def test_a_recipe_becomes_published_repositories_that_run(
    edgeconv: Command, writable: HubServer, smollm2_glm: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDGECONV_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)
    served = {path.name: path.read_bytes() for path in smollm2_glm.iterdir()} | {"README.md": CARD}
    commit = writable.add_repo("old/smollm2", served).refs["main"]
    writable.rename("old/smollm2", "new/smollm2")
    (tmp_path / "r.yaml").write_text(RECIPE)
    result = edgeconv("run", tmp_path / "r.yaml", "--output", tmp_path / "out", "--publish", "--json", "--quiet")
    assert [outcome["stages"] for outcome in result.data] == 2 * [
        {"convert": "done", "parity": "done", "publish": "done"}
    ]
    assert result.code == 0
    assert set(writable.repos) == {"new/smollm2", "org/smollm2-int8-ov", "org/smollm2-GGUF"}
    for where in ("org/smollm2-int8-ov", "org/smollm2-GGUF@q8_0"):
        assert edgeconv("verify", where, "--json").data["whole"] is True
    _an_ir_comes_back(tmp_path / "ir", commit, edgeconv)
    _a_gguf_comes_back(tmp_path / "gguf", edgeconv)


def _an_ir_comes_back(folder: Path, commit: str, edgeconv: Command) -> None:
    from huggingface_hub import snapshot_download

    snapshot_download("org/smollm2-int8-ov", local_dir=folder)
    assert edgeconv("verify", folder).code == 0
    card = (folder / "README.md").read_text("utf-8")
    front = yaml.safe_load(card.split("---\n")[1])
    assert (front["license"], front["base_model"], front["language"]) == ("apache-2.0", "new/smollm2", ["en"])
    assert f"https://huggingface.co/new/smollm2/tree/{commit}" in card
    assert (folder / "parity/parity.html").is_file()
    answers = [_run_python(code, folder.parent) for code in blocks(card, "python")]
    assert [len(answer.split()) > 2 for answer in answers] == [True, True]


def _a_gguf_comes_back(folder: Path, edgeconv: Command) -> None:
    from huggingface_hub import snapshot_download

    snapshot_download("org/smollm2-GGUF", revision="q8_0", local_dir=folder)
    assert edgeconv("verify", folder).code == 0
    card = (folder / "README.md").read_text("utf-8")
    (code,) = blocks(card, "python")
    assert len(_run_python(code, folder.parent).split()) > 2
    ((fetch, run),) = (block.splitlines() for block in blocks(card, "sh"))
    assert fetch == "hf download org/smollm2-GGUF --revision q8_0 --local-dir smollm2-GGUF"
    subprocess.run([Path(sys.executable).with_name("hf"), *fetch.split()[1:]], cwd=folder.parent, check=True)
    file = re.fullmatch(r"llama-cli -m (\S+) -p .*", run)
    assert file and (folder.parent / file[1]).read_bytes()[:4] == b"GGUF"


def blocks(card: str, language: str) -> list[str]:
    """The code on a card."""
    return re.findall(rf"```{language}\n(.*?)\n```", card, re.DOTALL)


def _run_python(code: str, folder: Path) -> str:
    """Run a snippet as a user would: in a process and a folder of its own, knowing nothing but the Hub's address."""
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=folder,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout
