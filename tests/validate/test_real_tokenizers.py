"""Real tokenizers under tiny checkpoints: sound artifacts pass the tokens and the template check, planted faults do not.

Here a slice; `make tokenizers` runs all kinds and faults (tests/exact/tokenizers.py), `make exact` all sound ones.
"""

from collections.abc import Callable
from pathlib import Path

import pytest

from edgeconv.core.errors import EdgeconvError

from ..models import real_tokenizers
from .real_artifacts import FORMATS, convert, failures
from .real_plants import PLANTS

SMALL = ("llama2", "mistral_v1")
"""Vocabularies of 32,000 tokens: seconds."""


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    made: dict[str, Path] = {}

    def make(kind: str) -> Path:
        if kind not in made:
            made[kind] = real_tokenizers.checkpoint(kind, tmp_path_factory.mktemp(kind), dtype="float32")
        return made[kind]

    return make


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("kind", [*SMALL, "qwen3"])
def test_a_sound_artifact_passes(kind: str, form: str, source: Callable[[str], Path], tmp_path: Path) -> None:
    made = convert(source(kind), form, tmp_path)
    assert failures(made, source(kind)) == {"tokens": [], "template": []}


CASES = [(name, form) for name, plant in PLANTS.items() if "llama2" in plant.kinds for form in FORMATS]


@pytest.mark.parametrize(("name", "form"), [c for c in CASES if ("llama2", c[1]) not in PLANTS[c[0]].hidden])
def test_a_planted_fault_is_caught(name: str, form: str, source: Callable[[str], Path], tmp_path: Path) -> None:
    spoilt = real_tokenizers.checkpoint("llama2", tmp_path / "spoilt", dtype="float32")
    PLANTS[name].change(spoilt)
    try:
        made = convert(spoilt, form, tmp_path)
    except EdgeconvError:
        return  # refused, which is caught too
    assert failures(made, source("llama2"))[PLANTS[name].check]
