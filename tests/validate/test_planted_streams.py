"""Faults of Gemma 3n's layers, planted in each format: caught by `validate`; without one it passes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from edgeconv.convert.families import gemma3n_text
from edgeconv.convert.gguf import write
from edgeconv.convert.program import altup, laurel
from edgeconv.convert.program.ops import Ops
from edgeconv.validate.parity import Ask, validate
from edgeconv.validate.report.model import Report

from ..convert.gguf.test_gemma_3n import calmed
from ..exact_artifacts import convert, failed
from ..models import tiny

GRAPHS = ("openvino", "onnx")


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EDGECONV_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    fields = {"num_kv_shared_layers": 2, "sliding_window": 17}
    return calmed(tiny.make("gemma3n_text", tmp_path_factory.mktemp("source") / "m", dtype="float32", **fields))


def climb(artifact: Path, source: Path) -> Report:
    return validate(Ask(artifact, reference=str(source), max_tokens=200, quick=True))


def without_laurel(patch: pytest.MonkeyPatch) -> None:
    """Only what attention reads is added beside it, and not the product of the two matrices."""

    def given(ops: Ops[Any], normed: Any, prefix: str, eps: float) -> Any:
        product = ops.linear(
            ops.linear(normed, f"{prefix}laurel.linear_left", False), f"{prefix}laurel.linear_right", False
        )
        return ops.add(normed, ops.scale(ops.rms_norm(product, f"{prefix}laurel.post_laurel_norm", eps), 0.0))

    patch.setattr(laurel, "given", given)


def turned_predictions(patch: pytest.MonkeyPatch) -> None:
    """Streams are predicted by the columns of the coefficients, not by their rows."""
    predicted = altup.AltUp.predicted

    def other(self: altup.AltUp, ops: Any, streams: Any, prefix: str) -> Any:
        class Turned:
            def __getattr__(self, name: str) -> Any:
                return getattr(ops, name)

            def product(self, left: Any, right: Any) -> Any:
                count = len(streams)
                parts = ops.split(ops.flat(left, count * count), [1] * count * count)
                order = [parts[column * count + row] for row in range(count) for column in range(count)]
                return ops.product(ops.heads(ops.joined(order), count, count), right)

        return predicted(self, Turned(), streams, prefix)

    patch.setattr(altup.AltUp, "predicted", other)


def lost_share(patch: pytest.MonkeyPatch) -> None:
    """What a layer changed of the active stream reaches the others by their shares alone, without the 1."""
    corrected = altup.AltUp.corrected

    def other(self: altup.AltUp, ops: Any, streams: Any, made: Any, prefix: str) -> Any:
        news = ops.add(made, ops.scale(streams[self.active], -1.0))
        return [ops.add(one, ops.scale(news, -1.0)) for one in corrected(self, ops, streams, made, prefix)]

    patch.setattr(altup.AltUp, "corrected", other)


def _described(**changed: Callable[[Any], Any]) -> Callable[[pytest.MonkeyPatch], None]:
    def plant(patch: pytest.MonkeyPatch) -> None:
        details = gemma3n_text.FAMILY.details

        def other(read: Any, decoder: Any) -> Any:
            made = details(read, decoder)
            return replace(made, **{name: change(getattr(made, name)) for name, change in changed.items()})

        patch.setattr(gemma3n_text, "FAMILY", replace(gemma3n_text.FAMILY, details=other))

    return plant


FAULTS: dict[str, Callable[[pytest.MonkeyPatch], None]] = {
    "LAuReL is missing": without_laurel,
    "predictions take columns for rows": turned_predictions,
    "corrections lack their one": lost_share,
    "the share of idle gates is 0.9": _described(sparsity=lambda each: tuple(one and one * 0.779 for one in each)),
    "no gate is idle": _described(sparsity=lambda each: ()),
    "shared keys are of the layer before": _described(
        attentions=lambda each: tuple(one if one.reads is None else replace(one, reads=one.reads - 1) for one in each)
    ),
    "values are not normalized": _described(
        attentions=lambda each: tuple(replace(one, value_norm=False) for one in each)
    ),
}


@pytest.mark.parametrize("format_", GRAPHS)
def test_without_a_fault_it_passes(format_: str, source: Path, tmp_path: Path) -> None:
    assert not failed(climb(convert(source, tmp_path / "out", format_), source))


@pytest.mark.parametrize("format_", GRAPHS)
@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_caught(
    fault: str, format_: str, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        FAULTS[fault](patch)
        made = convert(source, tmp_path / "out", format_)
    assert "logits" in failed(climb(made, source))


MOVED = {
    "predictions are turned": "altup_predict_coef",
    "LAuReL's rows are turned": "laurel_r",
    "the streams' matrices are turned": "altup_proj",
}


@pytest.fixture(scope="module")
def like_e2b(tmp_path_factory: pytest.TempPathFactory) -> Path:
    fields = tiny.LIKE_E2B | {"sliding_window": 17}
    return calmed(tiny.make("gemma3n_text", tmp_path_factory.mktemp("e2b") / "m", dtype="float32", **fields))


@pytest.mark.parametrize("fault", [None, *MOVED])
def test_a_gguf(fault: str | None, like_e2b: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        if fault:
            rows = write._rows
            patch.setattr(
                write,
                "_rows",
                lambda checkpoint, placed, *rest: (
                    rows(checkpoint, placed, *rest)[::-1]
                    if MOVED[fault] in placed.tensor.name
                    else rows(checkpoint, placed, *rest)
                ),
            )
        made = convert(like_e2b, tmp_path, "gguf")
    found = failed(climb(made, like_e2b))
    assert ("structure" in found or "logits" in found) if fault else not found
