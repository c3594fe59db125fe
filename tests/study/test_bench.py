"""`edgeconv bench`: every figure is there and means what it says; no test asserts how fast anything is."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import pytest
from PIL import Image

from edgeconv.cli.main import run as cli
from edgeconv.convert import conversion
from edgeconv.convert.conversion import GgufJob
from edgeconv.convert.conversion import run as to_gguf
from edgeconv.convert.gguf.recipe import recipe
from edgeconv.core.errors import UsageError
from edgeconv.core.manifest import log_path
from edgeconv.core.progress import Silent
from edgeconv.quantize.scheme import Request
from edgeconv.study.bench import Ask, Result, Side, Task, bench
from edgeconv.study.bench.child import measure, prompt
from edgeconv.study.bench.runner import greedy, timed

from ..models import tiny_vlm

SMALL = (Task(40, 4), Task(20, 3))


def check_side(side: Side, framework: str, stored_as: str, tasks: list[str]) -> None:
    """It has run every task."""
    assert side.framework.startswith(framework)
    assert side.stored_as == stored_as
    assert [row.task for row in side.rows] == tasks
    assert side.load_seconds > 0
    assert 10_000_000 < side.peak_bytes < 10_000_000_000
    for row in side.rows:
        assert len(row.runs) == 1
        assert row.first_ms > 0
        assert row.tokens_per_second > 0


def check(result: Result, framework: str, stored_as: str, tasks: list[str]) -> None:
    """Both sides have run every task, and the ratios are those of their figures."""
    assert result.reference
    check_side(result.artifact, framework, stored_as, tasks)
    check_side(result.reference, "transformers", "bf16", tasks)
    for ratio, ours, theirs in zip(
        result.as_dict()["ratios"], result.artifact.rows, result.reference.rows, strict=True
    ):
        assert ratio["first"] == pytest.approx(theirs.first_ms / ours.first_ms)
        assert ratio["tokens_per_second"] == pytest.approx(ours.tokens_per_second / theirs.tokens_per_second)


@pytest.mark.slow
def test_an_ir_beside_its_checkpoint(converted: Path) -> None:
    check(bench(Ask(converted, tasks=SMALL, runs=1)), "openvino_genai", "int4_sym", ["40/4", "20/3"])


@pytest.mark.slow
def test_a_gguf_beside_its_checkpoint(builtin_model: Path, tmp_path: Path) -> None:
    pytest.importorskip("cyllama")
    made = to_gguf(GgufJob(str(builtin_model), recipe("q4_k_m"), output=tmp_path / "x.gguf")).path
    check(bench(Ask(made, tasks=SMALL, runs=1)), "llama.cpp", "q4_k", ["40/4", "20/3"])


def test_an_onnx_model(converted_onnx: Path) -> None:
    found = bench(Ask(converted_onnx, tasks=SMALL, runs=1, with_reference=False))
    check_side(found.artifact, "onnxruntime", "int4_sym", ["40/4", "20/3"])
    assert (found.reference, found.ratios()) == (None, [])


@pytest.mark.parametrize("kind", ["onnxruntime", "openvino vision"])
def test_a_picture(kind: str, tiny_vision_model: Callable[..., Path], tmp_path: Path) -> None:
    """In this process, which has loaded everything already."""
    source, request, out = str(tiny_vision_model()), Request("int8"), tmp_path / "out"
    if kind == "onnxruntime":
        made = conversion.run(conversion.OnnxJob(source, request, output=out)).path
    else:
        made = conversion.run(conversion.Job(source, request, output=out), Silent()).path
    Image.new("RGB", (80, 60), "red").save(tmp_path / "a.png")
    task = asdict(Task(1, 4, picture=True))
    ask = {
        "kind": kind,
        "path": str(made),
        "stored_as": "int8",
        "device": "CPU",
        "threads": 1,
        "attention": None,
    }
    side = measure({**ask, "tasks": [task], "image": str(tmp_path / "a.png"), "runs": 2})
    (row,) = side.rows
    assert side.words_bytes is not None
    assert 0 < side.words_bytes <= side.peak_bytes
    (first, second) = row.runs
    assert row.task == f"picture, {first.read}/4"
    for run in (first, second):
        assert run.vision_ms is not None
        assert 0 < run.vision_ms < run.first_ms


@pytest.mark.parametrize("kind", ["gemma3", "qwen3_vl", "smolvlm"])
def test_pictures_of_any_kind(kind: str, tmp_path: Path) -> None:
    """Beside transformers' model, each in a process of its own; the vision part is loaded with the first picture."""
    model = tiny_vlm.make(kind, tmp_path / "model", text_config={"max_position_embeddings": 4096})
    Image.new("RGB", (130, 60), "red").save(tmp_path / "a.png")
    for made in (
        conversion.run(conversion.Job(str(model), Request("int8"), output=tmp_path / "ir"), Silent()).path,
        conversion.run(conversion.OnnxJob(str(model), Request("int8"), output=tmp_path / "onnx")).path,
    ):
        found = bench(Ask(made, tasks=(Task(40, 4),), runs=1, image=tmp_path / "a.png"))
        assert found.reference, found.notes
        for side in (found.artifact, found.reference):
            assert [row.task.split(",")[0] for row in side.rows] == ["40/4", "picture"]
            assert side.words_bytes is not None
            assert 0 < side.words_bytes <= side.peak_bytes
        assert found.artifact.rows[1].task == found.reference.rows[1].task


def test_the_first_token_and_the_rate_are_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    """A clock of our own: the prompt takes 2 s, of which the tower 0.5, each further token 0.25 s."""
    now = 10.0
    monkeypatch.setattr("edgeconv.study.bench.runner.time.perf_counter", lambda: now)

    def read() -> int:
        nonlocal now
        now += 1.5
        return 7

    def step(token: int) -> int:
        nonlocal now
        now += 0.25
        return token + 1

    started, now = now, now + 0.5
    found = timed(started, now, greedy(read, step), 5, 30)
    assert (found.first_ms, found.tokens_per_second, found.vision_ms, found.read) == (2000, 4, 500, 30)


def test_prompts_are_equal_for_all_sides_and_hold_words_only() -> None:
    assert prompt(1000, 50, 0) == prompt(1000, 50, 0)
    assert max(prompt(1000, 500, 0)) < 900


def test_no_run_reads_what_one_before_it_read() -> None:
    """openvino_genai keeps what it read: a second run of the same prompt would have its first token in no time."""
    assert len({tuple(prompt(1000, 50, run)[:8]) for run in range(-1, 5)}) == 6


@pytest.mark.parametrize("text", ["1024", "1024/", "/128", "0/5", "5/1", "a/b", "-1/4"])
def test_tasks_that_are_none(text: str) -> None:
    with pytest.raises(UsageError, match="is not a task"):
        Task.parse(text)


@pytest.mark.slow
def test_what_cannot_be_measured_is_refused_before_anything_loads(
    converted: Path, converted_onnx: Path, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=r"takes 9002 tokens; the model reads 8192"):
        bench(Ask(converted, tasks=(Task(9000, 2),)))
    with pytest.raises(UsageError, match="takes no pictures"):
        bench(Ask(converted, image=tmp_path / "x.png"))
    with pytest.raises(UsageError, match="no device NPU"):
        bench(Ask(converted, device="NPU"))
    for onnx_ask in (Ask(converted_onnx, device="GPU"), Ask(converted_onnx, image=tmp_path / "x.png")):
        with pytest.raises(UsageError, match=r"cannot run on GPU|takes no pictures"):
            bench(onnx_ask)


@pytest.mark.slow
def test_a_reference_that_is_gone_is_told_and_one_that_was_named_is_an_error(
    converted: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = log_path(converted / "edgeconv.json")
    moved = tmp_path / "moved"
    subprocess.run(["cp", "-r", str(converted), str(moved)], check=True)
    told = json.loads(log.read_text()) | {"source": str(tmp_path / "gone")}
    (moved / log.name).write_text(json.dumps(told))
    assert cli(["bench", str(moved), "--task", "20/3", "--runs", "1"]) == 0
    said = capsys.readouterr()
    assert "The reference was not measured: What this was converted from is not here any more." in said.err
    assert len(said.out.splitlines()) == 2
    assert cli(["bench", str(moved), "--reference", str(tmp_path / "gone"), "--json"]) != 0
    assert "gone" in json.loads(capsys.readouterr().err)["error"]["message"]


@pytest.mark.slow
def test_a_child_that_dies_is_told(converted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dying = tmp_path / "python"
    dying.write_text("#!/bin/sh\necho 'something broke' >&2\nkill -9 $$\n")
    dying.chmod(0o755)
    monkeypatch.setattr(sys, "executable", os.fspath(dying))
    with pytest.raises(Exception, match="was killed by signal 9: something broke"):
        bench(Ask(converted, tasks=SMALL, runs=1))
