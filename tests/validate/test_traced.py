"""`validate` of what the trace engines make of decoders that lie otherwise than Llama's: sound ones pass, faults do not."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from edgeconv.convert import conversion
from edgeconv.quantize.scheme import Request
from edgeconv.validate.parity import Ask, validate
from edgeconv.validate.report.model import Report

from ..convert.onnx import traced_models
from .planted import copy_of
from .test_reference_traced import SIZES

pytestmark = pytest.mark.slow
FORMATS = ("openvino", "onnx")
KINDS = ("gpt2", "gpt_neox", "bloom", "falcon")
"""Square matrices the other way round and learned positions, a parallel block, alibi, one projection for q, k and v."""


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EDGECONV_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("sources")
    return {kind: traced_models.make(kind, root / kind, base=SIZES.get(kind)) for kind in KINDS}


def convert(source: Path, out: Path, format_: str) -> Path:
    job: Any = {"openvino": conversion.Job, "onnx": conversion.OnnxJob}[format_]
    made = conversion.run(job(str(source), Request("fp32"), output=out, smoke_test=False))
    assert made.manifest.engine == "trace"
    return Path(made.path)


def climb(artifact: Path, source: Path) -> Report:
    return validate(Ask(artifact, reference=str(source), max_tokens=200, quick=True))


def failed(report: Report) -> set[str]:
    return {check.name for check in report.rungs if check.status == "failed"}


@pytest.mark.parametrize("format_", FORMATS)
@pytest.mark.parametrize("kind", KINDS)
def test_what_is_traced_passes(kind: str, format_: str, sources: dict[str, Path], tmp_path: Path) -> None:
    report = climb(convert(sources[kind], tmp_path / "out", format_), sources[kind])
    assert not failed(report), [check.failures for check in report.rungs]


@pytest.mark.parametrize("kind", ["gpt2", "bloom"])
def test_the_weights_of_another_model_do_not(kind: str, sources: dict[str, Path], tmp_path: Path) -> None:
    """Matrices of two layers have changed places."""
    artifact = copy_of(convert(sources[kind], tmp_path / "out", "openvino"), tmp_path / "copy")
    assert _swapped(artifact)
    assert failed(climb(artifact, sources[kind])) & {"structure", "logits"}


def _swapped(artifact: Path) -> bool:
    """Exchange two square matrices, one of each layer, in the .bin."""
    text = (artifact / "openvino_model.xml").read_text("utf-8")
    found = re.findall(r'type="Const"[^>]*>\s*<data[^>]*offset="(\d+)" size="(16384)"', text)
    (first, size), (second, _) = found[0], found[len(found) // 2]
    with (artifact / "openvino_model.bin").open("r+b") as file:
        parts = []
        for offset in (first, second):
            file.seek(int(offset))
            parts.append(file.read(int(size)))
        for offset, part in zip((first, second), reversed(parts), strict=True):
            file.seek(int(offset))
            file.write(part)
    return parts[0] != parts[1]
