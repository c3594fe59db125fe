"""Vision-language models beyond GLM-Edge-V: each fault is caught by the check that one would expect; an untouched one passes.

Only the checks of pictures run here, on two pictures, whatever the family; what `validate` does with them test_planted_vision.py
shows.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgeconv.convert import families, multimodal
from edgeconv.convert.program.vision import Rows
from edgeconv.core.progress import Silent
from edgeconv.validate import vision_checks
from edgeconv.validate.multimodal.conversations import extremes
from edgeconv.validate.parity import Ask, validate
from edgeconv.validate.suite import load
from edgeconv.validate.target import open_pair

from ..models import tiny_vlm
from . import planted_vision
from .planted_vision import JOBS, PICTURES, Sound, apart, converted, failed, structure

pytestmark = pytest.mark.slow
KINDS = [kind for kind in sorted(tiny_vlm.FAMILIES) if multimodal.is_ours(kind)]
SPOILT = ("gemma3", "qwen2_5_vl", "qwen3_vl", "smolvlm")
"""Tokens that see each other; windows and axes of positions; rows for deeper layers; tiles."""


@pytest.fixture(scope="module", autouse=True)
def settings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EDGECONV_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.setattr(vision_checks, "NEW_TOKENS", 6)
        yield


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, str], Sound]:
    known: dict[tuple[str, str], Sound] = {}

    def make(kind: str, form: str) -> Sound:
        if (kind, form) not in known:
            known[kind, form] = converted(kind, form, tmp_path_factory.mktemp(f"{kind}-{form}"))
        return known[kind, form]

    return make


@pytest.fixture(params=[(kind, form) for kind in SPOILT for form in JOBS], ids="-".join)
def sound(request: pytest.FixtureRequest, made: Callable[[str, str], Sound]) -> Sound:
    return made(*request.param)


@pytest.mark.parametrize("form", JOBS)
@pytest.mark.parametrize("kind", KINDS)
def test_an_untouched_one_passes(kind: str, form: str, made: Callable[[str, str], Sound]) -> None:
    sound = made(kind, form)
    assert not structure(sound).failures
    scores = sound.look()
    assert failed(scores) == set(), [check.failures for check in scores.checks]
    assert apart(scores) < 1e-3
    pixels, _, merged, _ = scores.checks
    assert pixels.figures["max_abs"] == 0
    assert merged.figures["prompts"] == len(PICTURES) + 2


@pytest.mark.parametrize(("kind", "form"), [("gemma3", "openvino"), ("smolvlm", "onnx")])
def test_the_whole_ladder_passes(kind: str, form: str, made: Callable[[str, str], Sound]) -> None:
    sound = made(kind, form)
    report = validate(Ask(sound.artifact, reference=str(sound.model), max_tokens=250))
    assert [one.failures for one in report.rungs if one.status == "failed"] == []
    assert {one.name for one in report.comparisons} >= {"picture_conversion", "picture_quantisation"}
    assert len(report.generations) > len(load().pictures)


@pytest.mark.parametrize(
    ("field", "value"),
    [("image_mean", [0.1, 0.2, 0.3]), ("image_std", [0.9, 0.8, 0.7]), ("resample", 0)],
)
def test_another_preparation_of_pictures(field: str, value: Any, sound: Sound, tmp_path: Path) -> None:
    out = shutil.copytree(sound.artifact, tmp_path / "out")
    path = out / "preprocessor_config.json"
    stated = json.loads(path.read_text())
    if stated.get("do_normalize") is False and field != "resample":
        stated["do_normalize"] = True
    path.write_text(json.dumps(stated | {field: value}))
    (out / "edgeconv.json").unlink()  # the hashes alone would give it away
    assert failed(sound.look(out)) == {"pixels"}


def test_one_image_token_short(sound: Sound, monkeypatch: pytest.MonkeyPatch) -> None:
    from edgeconv.validate.vision_models.processing import Processing

    original = Processing.prompt

    def short(self: Any, conversation: Any) -> list[int]:
        ids = original(self, conversation)
        ids.remove(tiny_vlm.FAMILIES[sound.kind]["image_token_id"])
        return ids

    monkeypatch.setattr(Processing, "prompt", short)
    scores = sound.look()
    assert failed(scores) == {"merged"}
    assert "tokens, the checkpoint's" in scores.checks[2].failures[0]


def swapped(rows: Rows) -> Rows:
    """Two rows in each other's places."""
    made = rows.rows.copy()
    made[[0, -1]] = made[[-1, 0]]
    return Rows(made, rows.deep)


def turned(rows: Rows) -> Rows:
    """Every row one place on, as where patches are taken in another order."""
    return Rows(np.roll(rows.rows, 1, 0), None if rows.deep is None else np.roll(rows.deep, 1, 1))


def one_short(rows: Rows) -> Rows:
    """The last row left out."""
    return Rows(rows.rows[:-1], None if rows.deep is None else rows.deep[:, :-1])


def halves(rows: Rows) -> Rows:
    """The second half before the first, as where tiles are taken in another order."""
    middle = len(rows.rows) // 2
    return Rows(np.concatenate([rows.rows[middle:], rows.rows[:middle]]), rows.deep)


@pytest.mark.parametrize("fault", [swapped, turned, halves], ids=lambda fault: fault.__name__)
def test_rows_in_another_order(fault: Callable[[Rows], Rows], sound: Sound, monkeypatch: pytest.MonkeyPatch) -> None:
    plant(fault, sound, monkeypatch)
    scores = sound.look()
    assert failed(scores) >= {"vision", "merged"}
    assert apart(scores) > 1e-3


def plant(fault: Callable[[Rows], Rows], sound: Sound, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a vision part give other rows."""
    opened: Any = open_pair(sound.artifact, str(sound.model), Silent()).artifact
    tower = type(opened.tower("CPU"))
    original = tower.__call__
    monkeypatch.setattr(tower, "__call__", lambda self, *arguments: fault(original(self, *arguments)))


def vision_of(sound: Sound) -> Any:
    checkpoint = open_pair(sound.artifact, str(sound.model), Silent()).checkpoint
    return families.vision(checkpoint.config, checkpoint.names, families.decoder(checkpoint.config))


def test_deep_rows_one_layer_off(sound: Sound, monkeypatch: pytest.MonkeyPatch) -> None:
    if not tiny_vlm.FAMILIES[sound.kind]["vision_config"].get("deepstack_visual_indexes"):
        pytest.skip("it has none")
    plant(lambda rows: Rows(rows.rows, np.roll(rows.deep, 1, 0)), sound, monkeypatch)  # type: ignore[arg-type]
    scores = sound.look()
    assert "vision" in failed(scores)
    assert "rows of layer" in scores.checks[1].failures[0]
    assert apart(scores) > 1e-3


def test_positions_with_axes_swapped(sound: Sound, monkeypatch: pytest.MonkeyPatch) -> None:
    kind = type(vision_of(sound))
    original = kind.positions

    def swapped_axes(self: Any, ids: Any, pictures: Any) -> Any:
        made = original(self, ids, pictures)
        return made[[0, 2, 1]] if made.ndim > 1 else made + 1

    monkeypatch.setattr(kind, "positions", swapped_axes)
    scores = sound.look()
    assert "merged" in failed(scores)
    assert "stands at" in scores.checks[2].failures[0]


def test_tokens_that_are_all_said_to_be_words(sound: Sound, monkeypatch: pytest.MonkeyPatch) -> None:
    kind = type(vision_of(sound))
    original = kind.language_inputs
    if not original(vision_of(sound), [vision_of(sound).placeholder]):
        pytest.skip("it is told nothing of tokens")
    monkeypatch.setattr(kind, "language_inputs", lambda *arguments: {k: v * 0 for k, v in original(*arguments).items()})
    scores = sound.look()
    assert "merged" in failed(scores)
    assert apart(scores) > 1e-3


def test_a_suite_without_pictures_fails(made: Callable[[str, str], Sound], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(planted_vision, "PICTURES", [])
    scores = made("gemma3", "openvino").look()
    assert failed(scores) == {"vision", "merged", "captions"}
    assert scores.checks[1].failures == ["There are no pictures."]


def test_pictures_of_extreme_sizes_are_among_those_compared(sound: Sound) -> None:
    assert {"one pixel wide", "8,192 pixels wide"} <= extremes().keys()
