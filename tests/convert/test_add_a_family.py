"""CONTRIBUTING's "How to add a family", followed: its one file and one row make a family of every format."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import edgeconv
from edgeconv.convert import conversion, families
from edgeconv.convert.families import registry
from edgeconv.convert.gguf.describe import describe
from edgeconv.convert.gguf.recipe import recipe
from edgeconv.core.errors import CheckpointError
from edgeconv.quantize.scheme import Request
from edgeconv.validate.parity import Ask, validate

from ..models import tiny

GUIDE = Path(edgeconv.__file__).resolve().parent / "CONTRIBUTING.md"
NAME = "seed_oss"
ROW = {"attention_bias": True, "attention_out_bias": False, "attention_dropout": 0.0, "residual_dropout": 0.0}


def written() -> str:
    """The file that the guide shows."""
    section = GUIDE.read_text("utf-8").partition("## How to add a family")[2].partition("\n## ")[0]
    (code,) = re.findall(r"```python\n(.*?)```", section, re.DOTALL)
    return str(code)


@pytest.fixture
def added(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The guide's file in a folder that the package is made to look into as well, and the row of the tests' table."""
    assert NAME not in registry.names()
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / f"{NAME}.py").write_text(written())
    monkeypatch.setattr(families, "__path__", [*families.__path__, str(tmp_path / "more")])
    monkeypatch.setitem(tiny.FAMILIES, NAME, ROW)
    yield
    sys.modules.pop(f"{families.__name__}.{NAME}", None)


def convert(kind: str, source: Path, out: Path) -> Path:
    if kind == "openvino":
        made = conversion.run(conversion.Job(str(source), Request("bf16"), output=out))
        assert made.manifest.engine == "stream"
        return made.path
    if kind == "onnx":
        return conversion.run(conversion.OnnxJob(str(source), Request("fp32"), output=out)).path
    return conversion.run(conversion.GgufJob(str(source), recipe("bf16"), output=out)).path


@pytest.mark.parametrize("kind", ["openvino", "onnx", "gguf"])
def test_one_file_is_a_family(kind: str, added: None, tmp_path: Path) -> None:
    source = tiny.make(NAME, tmp_path / "source")
    report = validate(Ask(convert(kind, source, tmp_path / "out"), reference=str(source), max_tokens=200, quick=True))
    failed = [check.name for check in report.rungs if check.status == "failed"]
    assert (report.verdict, failed) == ("passed", [])


def test_its_claims_and_defaults_follow(added: None) -> None:
    config = {"model_type": NAME, "vocab_size": 64, "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2,
              "num_attention_heads": 8}  # fmt: skip
    assert NAME in families.streamed()
    described = families.decoder(config)
    assert (described.head_dim, described.qkv_bias, described.output_bias) == (128, True, False)
    assert [text.split(" = ")[0] for text in described.assumed][:3] == [
        "head_dim", "attention_bias", "num_key_value_heads",
    ]  # fmt: skip


def test_without_the_file_it_is_none() -> None:
    assert families.find(NAME) is None
    with pytest.raises(CheckpointError, match=NAME):
        describe({"model_type": NAME})
