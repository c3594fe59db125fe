"""Templates and tokens are compared in a process of their own as in this one; where that fails, here."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest

from edgeconv.convert.open_checkpoint import open_checkpoint
from edgeconv.core.progress import Silent
from edgeconv.validate import first_checks
from edgeconv.validate.first_checks import FirstChecks
from edgeconv.validate.formats import open_artifact


class Heard(Silent):
    def __init__(self) -> None:
        self.details: list[str] = []

    def detail(self, message: str) -> None:
        self.details.append(message)


def started(beside: FirstChecks, artifact: Path, folder: Path) -> FirstChecks:
    with pytest.MonkeyPatch.context() as patch:  # as in a command that has just begun
        patch.setattr(first_checks, "_LARGE", 0)
        patch.delitem(sys.modules, "transformers", raising=False)
        beside.start(open_artifact(artifact), folder)
    return beside


@pytest.mark.slow
def test_the_rungs_are_those_of_this_process(converted: Path, builtin_model: Path) -> None:
    with FirstChecks() as beside:
        made = started(beside, converted, builtin_model).take(Silent())
    here = first_checks.here(open_artifact(converted), open_checkpoint(builtin_model), Silent())
    assert made
    assert [one.model_copy(update={"seconds": 0.0}) for one in made] == [
        one.model_copy(update={"seconds": 0.0}) for one in here
    ]


@pytest.mark.slow
def test_a_process_that_fails_is_told_of(converted: Path, builtin_model: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(builtin_model, tmp_path / "model")
    (folder / "config.json").write_text("no JSON")
    heard = Heard()
    with FirstChecks() as beside:
        assert started(beside, converted, folder).take(heard) is None
    (detail,) = heard.details
    assert "config.json is not valid JSON" in detail


@pytest.mark.slow
def test_one_that_is_not_waited_for_ends(converted: Path, builtin_model: Path) -> None:
    with FirstChecks() as beside:
        process = started(beside, converted, builtin_model)._process
    assert process is not None
    assert process.returncode == -9


@pytest.mark.slow
def test_a_small_tokenizer_is_compared_here(converted: Path, builtin_model: Path) -> None:
    with FirstChecks() as beside:
        beside.start(open_artifact(converted), builtin_model)
        assert not beside.started
        assert beside.take(Silent()) is None
