"""Runs command lines in this process, through the very function that the program runs."""

import json
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from edgeconv.cli import main
from edgeconv.convert import conversion
from edgeconv.quantize.scheme import resolve

from ..core import artifacts


@dataclass(frozen=True)
class Result:
    code: int
    out: str
    err: str

    @property
    def data(self) -> Any:
        return json.loads(self.out)

    @property
    def error(self) -> Any:
        return json.loads(self.err)["error"]


Command = Callable[..., Result]


@pytest.fixture
def edgeconv(capfd: pytest.CaptureFixture[str]) -> Iterator[Command]:
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}

    def command(*arguments: object) -> Result:
        capfd.readouterr()
        code = main.run([str(argument) for argument in arguments])
        return Result(int(code), *capfd.readouterr())

    yield command
    for number, handler in handlers.items():
        signal.signal(number, handler)


@pytest.fixture
def artifact(tmp_path: Path) -> Path:
    """The folder of a small artifact with a true manifest; there is no model in it."""
    artifacts.make(tmp_path / "artifact")
    return tmp_path / "artifact"


def make_plan(job: conversion.Job) -> conversion.Plan:
    return conversion.Plan(
        source=job.model,
        commit=None,
        model_type="glm",
        parameters=1664,
        engine="stream",
        engine_reason="its block is known",
        compressor="edgeconv",
        rope=job.rope,
        scheme=resolve(job.request),
        input_bytes=3328,
        output_bytes=2048,
        output=job.output or Path("name-openvino-int4"),
        notes=["a note"],
    )


@pytest.fixture
def jobs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[conversion.Job]:
    """Replaces the conversion by one that writes the small artifact; the jobs that it was given."""
    seen: list[conversion.Job] = []

    def plan(job: conversion.Job, progress: Any = None) -> conversion.Plan:
        seen.append(job)
        return make_plan(job)

    def run(job: conversion.Job, progress: Any) -> conversion.Artifact:
        seen.append(job)
        output = job.output or tmp_path / "out"
        progress.task("Reading weights", 10).finish()
        progress.note("engine: stream")
        progress.detail("layer 1 of 1")
        print("a library talks")
        manifest = artifacts.make(output)
        return conversion.Artifact(output, manifest, make_plan(job), 1.25)

    monkeypatch.setattr(conversion, "plan", plan)
    monkeypatch.setattr(conversion, "run", run)
    return seen
