"""The user's own pipeline, a second turn too, beside the artifact itself in one prefill."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from edgeconv.core.progress import Silent
from edgeconv.runtimes import onnx_genai_once
from edgeconv.runtimes.decoder import read_on
from edgeconv.runtimes.llama_cpp import LlamaCppRuntime
from edgeconv.runtimes.onnx_chat import CachedOnnx
from edgeconv.runtimes.turns import FOLLOW_UP
from edgeconv.validate.checks import generation, pipelines
from edgeconv.validate.checks.answer import Answer
from edgeconv.validate.formats import open_artifact
from edgeconv.validate.report.model import Check, GenerationPair
from edgeconv.validate.suite import load

from . import planted_graphs as plants
from .gguf_files import write
from .test_used import convert

COUNT, NOISE = 24, 0.02
PROMPTS = [[message.model_dump() for message in prompt] for prompt in load().prompts[:2]]
PAIR = GenerationPair(prompt="", artefact_text="", reference_text="", tokens=1)


@pytest.fixture(scope="module")
def artifacts(builtin_model: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Read-only, one of each format."""
    folder = tmp_path_factory.mktemp("turns")
    made = {kind: convert(builtin_model, folder / kind, kind) for kind in ("openvino", "onnx")}
    return made | {"gguf": write(builtin_model, folder / "a.gguf", "f32")}


def climb(path: Path) -> tuple[list[Answer], Check]:
    artifact = open_artifact(path)
    turns = artifact.answers("CPU", PROMPTS, COUNT)
    # whose prompt and ends these are is of no matter here: see test_planted_pipelines.py
    expected = pipelines.Expected(lambda asked: [t.ids for t in turns if t.messages == asked], {}, COUNT)
    with contextlib.closing(artifact.runtime("CPU", Silent(), accurate=True)) as runtime:
        answers = pipelines.of_turns(turns, artifact.pipeline, runtime, expected)
    return answers, generation.judge([PAIR], [], answers, 0.0, noise=NOISE)


@pytest.mark.parametrize("kind", ["openvino", "onnx", "gguf"])
def test_a_pipeline_chooses_as_the_artifact_does(kind: str, artifacts: dict[str, Path]) -> None:
    answers, check = climb(artifacts[kind])
    others = [answer for answer in answers if answer.runtime.startswith(onnx_genai_once.NAME)]
    assert [answer.turn for answer in answers if answer not in others] == [1, 1, 2]
    assert answers[2].messages[-1]["content"] == FOLLOW_UP
    assert len(answers[2].ids) > len(answers[1].ids)
    assert all(len(answer.regrets) == len(answer.made) > 0 for answer in answers)
    assert check.status == "passed", check.failures


def of_onnx(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a second turn finds in the cache is another text's."""
    keep = CachedOnnx._keep

    def other(self: CachedOnnx, count: int) -> int:
        left = keep(self, count)
        if left:
            self._decoder.empty()
            read_on(self._decoder, self._embed(np.full(left, 7)), 0)
        return left

    monkeypatch.setattr(CachedOnnx, "_keep", other)


def of_llama_cpp(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same."""

    def known(self: LlamaCppRuntime, ids: list[int], count: int) -> int:
        length = min(len(self._read), len(ids) - 1)
        self._context.kv_cache_clear()
        self._decode([7] * length, 0, every=False)
        return length

    monkeypatch.setattr(LlamaCppRuntime, "_known", known)


@pytest.mark.parametrize(("kind", "fault"), [("onnx", of_onnx), ("gguf", of_llama_cpp)])
def test_a_second_turn_that_reads_on_from_the_wrong_cache_fails(
    kind: str, fault: Callable[[pytest.MonkeyPatch], None], artifacts: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    fault(monkeypatch)
    answers, check = climb(artifacts[kind])
    assert max(max(answer.regrets) for answer in answers[:2]) <= NOISE
    assert check.status == "failed"
    assert "turn 2" in check.failures[0]


def test_a_pipeline_that_decodes_otherwise_than_the_prefill_fails(
    artifacts: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plants, "LATE", 40)
    folder = plants.plant(shutil.copytree(artifacts["openvino"], tmp_path / "out"), plants.late_positions)
    _, check = climb(folder)
    assert check.status == "failed"
    assert all("openvino_genai" in failure for failure in check.failures)
