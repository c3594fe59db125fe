"""Templates that ask for the date: both sides are rendered at one moment; an engine with its own clock may cross midnight."""

from __future__ import annotations

import shutil
from datetime import datetime
from itertools import cycle
from pathlib import Path
from typing import Any

import pytest

from edgeconv.convert.open_checkpoint import open_checkpoint
from edgeconv.core.progress import Silent
from edgeconv.validate.checks import generation, template, template_texts
from edgeconv.validate.checks.template import Place
from edgeconv.validate.checks.template_texts import FROZEN
from edgeconv.validate.report.model import Check
from edgeconv.validate.tokenizer import open_tokenizer

from .planted import copy_of
from .test_template_tools import both, set_files

DATED = (
    "<|system|>\nToday is {{ strftime_now('%d %b %Y') }}.{% for m in messages %}<|{{ m['role'] }}|>\n{{ m['content'] }}"
    "{% endfor %}{% if add_generation_prompt %}<|assistant|>\n{% endif %}"
)
BEFORE, AFTER = datetime(2026, 11, 29, 23, 59, 59), datetime(2026, 11, 30, 0, 0, 1)


@pytest.fixture
def source(builtin_model: Path, tmp_path: Path) -> Path:
    folder = shutil.copytree(builtin_model, tmp_path / "source")
    set_files(folder, DATED)
    return folder


@pytest.mark.slow
def test_a_dated_template_is_rendered_alike_by_files_and_openvino_genai(
    converted: Path, source: Path, tmp_path: Path
) -> None:
    artifact = copy_of(converted, tmp_path / "artifact")
    both(artifact, source, DATED)
    one = template.check(artifact, open_checkpoint(source), Silent())
    assert (one.status, one.failures, one.defects) == ("passed", [], [])


def by_engine(source: Path, moment: datetime, monkeypatch: pytest.MonkeyPatch, text: str = DATED) -> Check:
    """An engine that renders at a moment of its own; the validator looks at its clock before and behind it."""
    moments = cycle([BEFORE, AFTER])

    class Clock(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> datetime:
            return next(moments)

    monkeypatch.setattr(template, "datetime", Clock)
    own = template_texts.renderer(text, {}, "The engine's template")

    def render(messages: Any, prompted: bool, **options: Any) -> str:
        assert "strftime_now" not in options, "this engine's clock cannot be stopped"
        return own(messages, prompted, strftime_now=moment.isoformat(), **options)

    place = Place("an engine", template.of_files(source).templates, lambda _: render, own_clock=True)
    return template.judge(open_checkpoint(source), lambda: [place], Silent())


@pytest.mark.parametrize("moment", [BEFORE, AFTER])
def test_an_engine_may_render_on_either_side_of_midnight(
    moment: datetime, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert by_engine(source, moment, monkeypatch).failures == []


def test_another_day_or_another_form_is_a_difference(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert by_engine(source, FROZEN, monkeypatch).failures
    assert by_engine(source, AFTER, monkeypatch, DATED.replace("%b", "%m")).failures


def test_prompts_of_a_pipeline_may_be_of_either_day(source: Path) -> None:
    tokenizer, asked = open_tokenizer(source), [{"role": "user", "content": "Hi"}]
    texts = [tokenizer.decode(generation.prompt_ids(tokenizer, asked, moment)) for moment in (BEFORE, AFTER)]
    assert ["29 Nov 2026" in texts[0], "30 Nov 2026" in texts[1]] == [True, True]
