"""The last step of a conversion: its runtime makes a token of the result, or nothing is left."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edgeconv.convert import conversion
from edgeconv.convert.conversion import (
    FORMATS,
    GgufJob,
    Job,
    OnnxJob,
    gguf_write,
    onnx_write,
    openvino_write,
    smoke,
)
from edgeconv.convert.gguf.recipe import recipe
from edgeconv.core.errors import ConversionError
from edgeconv.quantize.scheme import Request

from ...models import tiny_vlm

GB = 1 << 30


def convert(target: str, source: Path, out: Path, **options: Any) -> Any:
    if target == "openvino":
        return conversion.run(Job(str(source), Request("int8"), output=out, **options))
    if target == "onnx":
        return conversion.run(OnnxJob(str(source), Request("int8"), output=out, **options))
    return conversion.run(GgufJob(str(source), recipe("q8_0"), output=out, **options))


RUNS = {"openvino": "openvino_genai", "gguf": "cyllama", "onnx": "onnxruntime"}


@pytest.mark.parametrize("target", RUNS)
def test_its_runtime_makes_a_token(target: str, tiny_model: Callable[..., Path], tmp_path: Path) -> None:
    made = convert(target, tiny_model("llama"), tmp_path / "out", smoke_test=True)
    assert made.smoke.status == "passed"
    assert made.smoke.runtimes[0].startswith(RUNS[target] + " ")
    log = json.loads((made.path / "edgeconv.log.json").read_text())
    assert log["smoke_test"]["status"] == "passed"
    assert made.plan.as_dict()["smoke_test"]["status"] == "planned"
    # the manifest holds nothing that another machine, with other runtimes and memory, would say otherwise
    assert "smoke" not in (made.path / "edgeconv.json").read_text()


def test_a_single_gguf(tiny_model: Callable[..., Path], tmp_path: Path) -> None:
    assert convert("gguf", tiny_model("llama"), tmp_path / "a.gguf", smoke_test=True).smoke.status == "passed"


@pytest.mark.slow
@pytest.mark.parametrize("layout", ["optimum", "genai", "gguf", "onnx"])
def test_models_that_see(layout: str, tiny_vision_model: Callable[..., Path], tmp_path: Path) -> None:
    source = tiny_vision_model()
    if layout in ("optimum", "genai"):
        made = convert("openvino", source, tmp_path / "out", smoke_test=True, layout=layout)
        wanted = "openvino_genai" if layout == "genai" else "openvino "
    else:
        made, wanted = convert(layout, source, tmp_path / "out", smoke_test=True), RUNS[layout]
    assert made.smoke.status == "passed"
    assert made.smoke.runtimes[0].startswith(wanted)


@pytest.mark.parametrize(
    ("target", "kind", "runtimes"),
    [
        ("openvino", "qwen3_vl", ["openvino ", "openvino_genai "]),
        ("openvino", "smolvlm", ["openvino "]),
        ("onnx", "smolvlm", ["onnxruntime "]),
    ],
)
def test_a_picture_is_shown(target: str, kind: str, runtimes: list[str], tmp_path: Path) -> None:
    """Prepared by the artifact's own files; where openvino_genai knows the type, a token is made there too."""
    made = convert(target, tiny_vlm.make(kind, tmp_path / "model"), tmp_path / "out", smoke_test=True)
    assert made.smoke.status == "passed"
    for found, wanted in zip(made.smoke.runtimes, runtimes, strict=True):
        assert found.startswith(wanted)


def objects(folder: Path) -> None:
    """Special tokens as objects, which openvino_genai cannot parse."""
    path = folder / "tokenizer_config.json"
    content = json.loads(path.read_text()) | {"eos_token": {"__type": "AddedToken", "content": "<|endoftext|>"}}
    path.write_text(json.dumps(content))


def other_model(folder: Path) -> None:
    """A tokenizer that llama.cpp does not know."""
    (path,) = folder.glob("*.gguf")
    raw = path.read_bytes()
    key = b"tokenizer.ggml.model"
    at = raw.index(key) + len(key) + 12
    path.write_bytes(raw[:at] + b"none" + raw[at + 4 :])


def no_logits(folder: Path) -> None:
    import onnx as library

    model = library.load(folder / "model.onnx", load_external_data=False)
    model.graph.node[0].op_type = "NoSuchOperator"
    library.save(model, folder / "model.onnx")


SPOILT = {
    "openvino": (openvino_write, objects, "must be string"),
    "gguf": (gguf_write, other_model, "GGML_ASSERT"),
    "onnx": (onnx_write, no_logits, "NoSuchOperator"),
}


@pytest.mark.parametrize("target", SPOILT)
@pytest.mark.parametrize("kept", [False, True])
def test_what_it_cannot_use_is_not_kept(
    target: str, kept: bool, tiny_model: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module, spoil, says = SPOILT[target]
    whole = module.convert

    def spoiling(*args: Any, **options: Any) -> Any:
        manifest = whole(*args, **options)
        spoil(next(a for a in args if isinstance(a, Path)))
        return manifest

    monkeypatch.setattr(module, "convert", spoiling)
    out = tmp_path / "work" / "out"
    if kept:  # without it, the same is written
        assert convert(target, tiny_model("llama"), out, smoke_test=False).smoke.status == "skipped"
        return
    with pytest.raises(ConversionError) as error:
        convert(target, tiny_model("llama"), out, smoke_test=True)
    assert says in error.value.message
    assert "--no-smoke-test" in (error.value.hint or "")
    assert not list((tmp_path / "work").iterdir())


@pytest.mark.parametrize("target", RUNS)
def test_when_it_is_left_out(target: str, monkeypatch: pytest.MonkeyPatch) -> None:
    runner = FORMATS[target].runner
    assert smoke.planned(True, runner, 1).status == "planned"  # the option is above the environment
    assert smoke.planned(None, runner, 1).status == "skipped"
    monkeypatch.delenv(smoke.VARIABLE)
    assert smoke.planned(None, runner, 1).status == "planned"
    assert smoke.planned(False, runner, 1).status == "skipped"
    monkeypatch.setattr(smoke, "available", lambda: 4 * GB)
    assert smoke.planned(None, runner, GB).status == "planned"
    assert "4.3 GB are free" in smoke.planned(None, runner, 3 * GB).reason
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    assert "not installed" in smoke.planned(True, runner, 1).reason
