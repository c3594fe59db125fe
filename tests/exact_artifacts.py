"""Artifacts in float32 of a checkpoint, one a format, and what validation says of one that was made with a planted fault."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edgeconv.convert import conversion
from edgeconv.convert.gguf.recipe import Recipe
from edgeconv.core.progress import Silent
from edgeconv.quantize.scheme import Request
from edgeconv.validate.parity import Ask, validate
from edgeconv.validate.report.model import Report

_JOBS: dict[str, Callable[[str, Path], Any]] = {
    "openvino": lambda source, out: conversion.Job(source, Request("fp32"), output=out, smoke_test=False),
    "onnx": lambda source, out: conversion.OnnxJob(source, Request("fp32"), output=out, smoke_test=False),
    "gguf": lambda source, out: conversion.GgufJob(source, Recipe("f32"), output=out / "a.gguf", smoke_test=False),
}
FORMATS = tuple(_JOBS)


def convert(source: Path, out: Path, format_: str) -> Path:
    made: Path = conversion.run(_JOBS[format_](str(source), out), Silent()).path
    return made


def failed(report: Report) -> set[str]:
    return {check.name for check in report.rungs if check.status == "failed"}


def planted(
    fault: Callable[[pytest.MonkeyPatch], None], source: Path, out: Path, format_: str, **options: Any
) -> Report:
    """Convert while a fault is in the converter, and validate without it; `options` are those of `Ask`."""
    with pytest.MonkeyPatch.context() as patch:
        fault(patch)
        artifact = convert(source, out, format_)
    return validate(Ask(artifact, reference=str(source), **options))
