"""Makers' checkpoints in every format: what is written is the model, says whose it is, and a view that errs is found out."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edgeconv.convert import makers
from edgeconv.convert.makers import maker
from edgeconv.convert.row_views import Layout
from edgeconv.core.errors import CheckpointError
from edgeconv.core.manifest import manifest_of
from edgeconv.validate.parity import Ask, validate
from edgeconv.validate.report.model import Report

from ...exact_artifacts import FORMATS, convert, failed
from ...models import tiny, tiny_makers


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGECONV_CACHE", str(tmp_path / "cache"))


def climb(artifact: Path, source: Path) -> Report:
    return validate(Ask(artifact, reference=str(source), max_tokens=200, quick=True))


@pytest.mark.parametrize("format_", FORMATS)
@pytest.mark.parametrize(
    ("kind", "pieces"), [("internlm2", True), ("internlm2 with biases", False), ("internlm3", True), ("minicpm", False)]
)
def test_what_is_written_passes(kind: str, pieces: bool, format_: str, tmp_path: Path) -> None:
    source = tiny_makers.make(kind, tmp_path / "model", pieces=pieces)
    made = convert(source, tmp_path / "out", format_)
    report = climb(made, source)
    assert not failed(report), failed(report)
    names = set(manifest_of(made).source.files)
    assert {"config.json", "model.safetensors"} <= names and not any(name.endswith(".py") for name in names)
    if format_ != "gguf":
        config = json.loads((made / "config.json").read_text())
        assert "auto_map" not in config and "rope_scaling" not in config
        assert not list(made.glob("*.py"))


@pytest.mark.parametrize("switches", [False, True])
def test_long_factors_of_minicpm_in_llama_cpp(switches: bool, tmp_path: Path) -> None:
    """Factors that no text up to the context switches are one table of llama.cpp's; others it has not for this architecture."""
    kind = "minicpm" if switches else "minicpm, long factors always"
    stated = {"rope_scaling": tiny_makers.LONG, "max_position_embeddings": 512}
    source = tiny_makers.make(kind, tmp_path / "model", **(stated if switches else {}))
    assert not failed(climb(convert(source, tmp_path / "out", "gguf"), source))


def test_long_factors_that_switch_are_not_written_for_llama_cpp(tmp_path: Path) -> None:
    rope = {"rope_parameters": tiny_makers.ALWAYS}
    source = tiny.make("granite", tmp_path / "model", **rope)
    with pytest.raises(CheckpointError, match="switch factors at 256 positions"):
        convert(source, tmp_path / "out", "gguf")


def _without_groups(layout: Layout | None) -> Layout | None:
    """Take all queries for the first rows, as ChatGLM has them."""
    assert layout is not None
    parts = {fused: {name: rows * layout.groups for name, rows in each.items()} for fused, each in layout.parts.items()}
    return Layout(layout.layer, layout.outer, layout.inside, parts)


def _linear(config: Any, kinds: Any) -> Any:
    """Take "dynamic" for a division of positions."""
    return config | {"rope_scaling": {"type": "linear", "factor": 2.0}}, ()


def ungrouped(patch: pytest.MonkeyPatch) -> None:
    view = makers.row_views.seen
    patch.setattr(makers.row_views, "seen", lambda shards, layout: view(shards, _without_groups(layout)))


def divided(patch: pytest.MonkeyPatch) -> None:
    from edgeconv.convert.makers import internlm

    patch.setattr(internlm, "without_dynamic", _linear)


def _changed(field: str, value: float) -> Callable[[pytest.MonkeyPatch], None]:
    def plant(patch: pytest.MonkeyPatch) -> None:
        native = maker.Maker.native

        def other(self: maker.Maker, config: Any) -> maker.Native:
            made = native(self, config)
            return maker.Native(made.family, made.config | {field: value}, made.layout, made.notes)

        patch.setattr(maker.Maker, "native", other)

    return plant


FAULTS: dict[str, tuple[str, Callable[[pytest.MonkeyPatch], None]]] = {
    "q, k and v are not in groups": ("internlm2", ungrouped),
    "the scaling 'dynamic' divides positions": ("internlm2", divided),
    "residuals are not scaled": ("minicpm", _changed("residual_multiplier", 1.0)),
    "the depth is not under a root": ("minicpm", _changed("residual_multiplier", 1.4 / 2)),
    "logits are multiplied by the width": ("minicpm", _changed("logits_scaling", 4.0)),
    "embeddings are not scaled": ("minicpm", _changed("embedding_multiplier", 1.0)),
}


@pytest.mark.parametrize("format_", FORMATS)
@pytest.mark.parametrize("fault", FAULTS)
def test_a_view_that_errs_is_found_out(
    fault: str, format_: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kind, plant = FAULTS[fault]
    source = tiny_makers.make(kind, tmp_path / "model")
    with monkeypatch.context() as patch:
        plant(patch)
        made = convert(source, tmp_path / "out", format_)
    found = failed(climb(made, source))
    assert found & {"conversion", "weights", "structure", "quantization", "fields"}, found


@pytest.mark.parametrize("format_", FORMATS)
def test_no_code_is_asked_for_and_none_is_run(format_: str, tmp_path: Path) -> None:
    """The files beside it end the process if they are imported."""
    source = tiny_makers.make("minicpm", tmp_path / "model")
    assert convert(source, tmp_path / "out", format_).exists()


def test_other_code_is_refused(tmp_path: Path) -> None:
    source = tiny_makers.make("minicpm", tmp_path / "model")
    config = json.loads((source / "config.json").read_text())
    (source / "config.json").write_text(json.dumps(config | {"model_type": "minicpm5000"}))
    with pytest.raises(CheckpointError, match="needs code from the checkpoint itself"):
        convert(source, tmp_path / "out", "openvino")
