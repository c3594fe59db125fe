"""The matrix of models: its table makes checkpoints, its page is that of its results, and a crash is no refusal of ours."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from edgeconv.benchmarks.coverage import __main__ as program
from edgeconv.benchmarks.coverage.cell import failed, outcome
from edgeconv.benchmarks.coverage.checkpoint import make, rows
from edgeconv.benchmarks.coverage.page import page


def test_the_committed_page_is_that_of_the_committed_results() -> None:
    results = json.loads(program.RESULTS.read_text("utf-8"))
    assert list(results) == list(rows())
    assert page(rows(), results) == program.PAGE.read_text("utf-8")


@pytest.mark.slow
def test_a_checkpoint_is_converted_and_compared_and_a_wrong_one_is_seen(tmp_path: Path) -> None:
    source = tmp_path / "model"
    make(rows()["mistral_v01"], source)
    right = outcome("edgeconv", "gguf", source, tmp_path / "out", "")
    assert (right.kind, right.reach, right.engine) == ("right", 32, "stream")
    config = json.loads((source / "config.json").read_text())
    (source / "config.json").write_text(json.dumps(config | {"rope_theta": 11000.0}))
    assert outcome("edgeconv", "gguf", source, tmp_path / "out", "").kind == "wrong"
    (source / "config.json").write_text(json.dumps(config | {"model_type": "nonesuch"}))
    refused = outcome("edgeconv", "gguf", source, tmp_path / "out", "")
    assert (refused.kind, "nonesuch" in refused.said) == ("refused", True)


def test_what_is_no_refusal_is_a_crash() -> None:
    done = subprocess.CompletedProcess(["x"], 1, "", "Traceback\nSegmentation fault")
    assert (failed("edgeconv", done).kind, failed("llama.cpp", done).kind) == ("crashed", "refused")
