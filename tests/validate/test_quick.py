"""A quick validation keeps the conversion error: a graph that computes something else fails it, in every format."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from edgeconv.validate.parity import QUICK, Ask, validate
from edgeconv.validate.report.model import Report

from .gguf_files import set_key, write
from .test_used import convert


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGECONV_CACHE", str(tmp_path / "cache"))


def climb(artifact: Path, reference: Path) -> Report:
    return validate(Ask(artifact, reference=str(reference), max_tokens=300, quick=True))


def made(kind: str, source: Path, out: Path) -> Path:
    return write(source, out.with_suffix(".gguf"), "q8_0") if kind == "gguf" else convert(source, out, kind)


@pytest.mark.parametrize("kind", ["openvino", "onnx", "gguf"])
def test_another_epsilon_is_seen(kind: str, builtin_model: Path, tmp_path: Path) -> None:
    sound = climb(made(kind, builtin_model, tmp_path / "sound"), builtin_model)
    conversion = next(c for c in sound.comparisons if c.name == "conversion")
    assert conversion.tokens == QUICK
    assert sound.verdict != "failed", [check.failures for check in sound.rungs]

    spoilt = shutil.copytree(builtin_model, tmp_path / "model")
    config = json.loads((spoilt / "config.json").read_text())
    (spoilt / "config.json").write_text(json.dumps({**config, "rms_norm_eps": 1e-3}))
    report = climb(made(kind, spoilt, tmp_path / "out"), builtin_model)
    assert report.verdict == "failed"
    (check,) = [check for check in report.rungs if check.name == "logits"]
    assert check.status == "failed"
    assert any("conversion.max_abs_logit" in failure for failure in check.failures)


def test_a_beginning_that_llama_cpp_falls_over_is_an_error(builtin_model: Path, tmp_path: Path) -> None:
    """bos is asked for, and there is none: llama.cpp asserts as it tokenizes, and takes its process with it."""
    file = write(builtin_model, tmp_path / "a.gguf", "q8_0")
    raw = bytearray(file.read_bytes())
    key = b"tokenizer.ggml.add_bos_token"
    place = raw.index(key) + len(key)
    assert raw[place : place + 5] == b"\x07\0\0\0\0"
    raw[place + 4] = 1
    file.write_bytes(raw)
    report = climb(file, builtin_model)
    assert report.verdict == "failed"
    (check,) = [check for check in report.rungs if check.name == "tokens"]
    assert any("llama.cpp does not run" in failure and "token_bos" in failure for failure in check.failures), (
        check.failures
    )


def test_a_second_context_that_llama_cpp_falls_over_is_an_error(builtin_model: Path, tmp_path: Path) -> None:
    file = write(builtin_model, tmp_path / "a.gguf", "q8_0")
    set_key(file, "chatglm.rope.dimension_count", 4096)
    report = climb(file, builtin_model)
    assert report.verdict == "failed"
    assert any("llama.cpp does not run" in failure for check in report.rungs for failure in check.failures)
