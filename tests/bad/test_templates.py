"""Chat templates that would run for ever, fill the memory, or get out of the sandbox; and models whose numbers are none."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from edgeconv.convert import conversion
from edgeconv.convert.conversion import Job, run
from edgeconv.convert.gguf.recipe import recipe
from edgeconv.convert.open_checkpoint import open_checkpoint
from edgeconv.core import chat_template
from edgeconv.quantize.scheme import Request

from . import hostile
from .commands import Bench

fault = pytest.mark.fault
BOMBS = {
    "loops for ever": "{% for a in range(99999) %}{% for b in range(99999) %}\n{% set c = a %}{% endfor %}{% endfor %}",
    "makes a text of 10 GB": "{{ 'x' * 10000000000 }}",
    "makes a list without end": "{% set n = namespace(x=[1]) %}{% for i in range(999) %}\n{% set n.x = n.x + n.x %}{% endfor %}",
    "computes a power of a power": "{{ 9 ** 9 ** 9 }}",
    "calls itself": "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
}
FEW = ("--quick", "--max-tokens", "300")


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chat_template, "SECONDS", 0.5)
    monkeypatch.setattr(chat_template, "MEMORY", 100 << 20)


@pytest.fixture
def source(tiny_model: Callable[..., Path], tmp_path: Path) -> Path:
    return shutil.copytree(tiny_model("llama"), tmp_path / "model")


@pytest.fixture(scope="module")
def whole(tiny_model: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A GGUF without a fault."""
    made = conversion.GgufJob(
        str(tiny_model("llama")), recipe("q8_0"), output=tmp_path_factory.mktemp("whole") / "gguf"
    )
    return conversion.run(made).path


@pytest.mark.parametrize("name", [pytest.param(n, id=n, marks=fault(f"template: it {n}")) for n in BOMBS])
def test_a_template_without_bounds(name: str, source: Path, whole: Path, bad: Bench) -> None:
    (source / "chat_template.jinja").write_text(BOMBS[name])
    for line in (("openvino", "--output", "out"), ("gguf", "--output", "out")):
        bad.refused(
            *line, "--model", source, says="chat template .*cannot be used", names="chat_template", source=source
        )
    bad.refused("validate", whole, "--reference", source, says="chat template of model cannot be used", names="model")


@pytest.mark.parametrize("escape", hostile.ESCAPES)
@fault(
    "template: it looks for a way out of the sandbox",
    says="Taken over as text; where `validate` renders it, it fails, and nothing runs.",
)
def test_a_template_that_looks_for_a_way_out(escape: str, source: Path, whole: Path, bad: Bench) -> None:
    (source / "chat_template.jinja").write_text(escape.replace("RAN", str(bad.root / "ran")))
    assert bad.run("gguf", "-t", "q8_0", "--model", source, "--output", "out").code == 0
    ran = bad.run("validate", whole, "--reference", source, *FEW)
    assert ran.code == 1, ran.out
    assert "cannot be rendered" in ran.message
    assert "Traceback" not in ran.err
    assert "Unexpected" not in ran.err, ran.err
    assert not (bad.root / "ran").exists()
    assert "root:" not in ran.out + ran.err


# Numbers that are none.


def replaced(path: Path, old: bytes, new: bytes) -> None:
    data = path.read_bytes()
    assert data.count(old) == 1
    path.write_bytes(data.replace(old, new))


@fault("parity: the reference's weights are NaN")
def test_a_reference_that_is_nan(source: Path, whole: Path, bad: Bench) -> None:
    norm = open_checkpoint(source).tensor("model.norm.weight").tobytes()
    replaced(source / "model.safetensors", norm, b"\xc0\x7f" * (len(norm) // 2))
    _fails(bad, "validate", whole, "--reference", source, *FEW)


@fault("parity: weights of a GGUF are NaN")
def test_a_gguf_that_is_nan(source: Path, whole: Path, bad: Bench) -> None:
    norm = open_checkpoint(source).tensor("model.norm.weight").astype(np.uint32) << 16
    path = shutil.copy(next(whole.glob("*.gguf")), bad.root / "x.gguf")
    replaced(Path(path), norm.tobytes(), np.full(norm.size, np.nan, np.float32).tobytes())
    _fails(bad, "validate", path, "--reference", source, *FEW)


@fault("parity: weights of an IR are NaN")
def test_an_ir_that_is_nan(source: Path, bad: Bench) -> None:
    out = run(Job(str(source), Request("int8"), output=bad.root / "ov")).path
    norm = open_checkpoint(source).tensor("model.norm.weight").tobytes()
    replaced(out / "openvino_model.bin", norm, b"\xc0\x7f" * (len(norm) // 2))
    (out / "edgeconv.json").unlink()  # the digests alone would give it away
    _fails(bad, "validate", out, "--reference", source, *FEW)


def _fails(bad: Bench, *line: object) -> None:
    ran = bad.run(*line)
    assert ran.code == 3, ran.err
    assert "Traceback" not in ran.err
    assert "FAILED" in next(text for text in ran.out.splitlines() if text.startswith("quantisation.not_finite"))
    assert "FAILED" in ran.verdict
    bad.record("validate", ran.code, ran.verdict)
