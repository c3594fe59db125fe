from pathlib import Path
from typing import Any

import pytest

from edgeconv.convert import conversion
from edgeconv.core.errors import OutputError
from edgeconv.core.manifest import FileDigest

from ..core.artifacts import digest, make
from .conftest import Command


@pytest.fixture
def forced(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Stops the demo where its conversion would begin; whether it would have replaced the output."""
    seen: list[bool] = []

    def run(job: conversion.Job, progress: Any) -> conversion.Artifact:
        seen.append(job.force)
        raise OutputError("stop")

    monkeypatch.setattr(conversion, "run", run)
    return seen


def test_an_earlier_demo_is_recognized(
    edgeconv: Command, forced: list[bool], builtin_model: Path, tmp_path: Path
) -> None:
    manifest = make(tmp_path / "out")
    files = {"model.safetensors": digest(builtin_model / "model.safetensors")}
    manifest.model_copy(update={"source": manifest.source.model_copy(update={"files": files})}).write(tmp_path / "out")
    edgeconv("demo", "--output", tmp_path / "out")
    assert forced == [True]


@pytest.mark.parametrize("files", [{}, {"model.safetensors": FileDigest(size=1, sha256="0" * 64)}])
def test_another_model_is_not_replaced(
    edgeconv: Command, forced: list[bool], tmp_path: Path, files: dict[str, FileDigest]
) -> None:
    manifest = make(tmp_path / "out")
    manifest.model_copy(update={"source": manifest.source.model_copy(update={"files": files})}).write(tmp_path / "out")
    edgeconv("demo", "--output", tmp_path / "out")
    edgeconv("demo", "--output", tmp_path / "out", "--force")
    assert forced == [False, True]


def test_no_output_yet(edgeconv: Command, forced: list[bool], tmp_path: Path) -> None:
    edgeconv("demo", "--output", tmp_path / "out")
    assert forced == [False]


@pytest.mark.slow
def test_the_demo_twice(edgeconv: Command, tmp_path: Path) -> None:
    for _ in range(2):
        result = edgeconv("demo", "--output", tmp_path / "out")
        assert result.code == 0, result.err
        for text in ("> 日本的首都是哪里？\n日本的首都是东京", "> What is 4 + 3?", "Rome", "Bits per weight", "16.0"):
            assert text in result.out
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out"]
    assert edgeconv("inspect", tmp_path / "out").code == 0
