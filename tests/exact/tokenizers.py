"""Every planted fault of every real tokenizer must be caught in every format that can show it: `make tokenizers`.

The sound artifacts of the same tokenizers are measured by campaign.py.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from edgeconv.core.errors import EdgeconvError

from ..models import real_tokenizers
from ..validate.real_artifacts import FORMATS, convert, failures
from ..validate.real_plants import PLANTS

CASES = [
    (name, kind, form)
    for name, plant in PLANTS.items()
    for kind in plant.kinds
    for form in FORMATS
    if (kind, form) not in plant.hidden
]


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    made: dict[str, Path] = {}

    def make(kind: str) -> Path:
        if kind not in made:
            made[kind] = real_tokenizers.checkpoint(kind, tmp_path_factory.mktemp(kind), dtype="float32")
        return made[kind]

    return make


@pytest.mark.parametrize(("name", "kind", "form"), CASES)
def test_a_planted_fault_is_caught(
    name: str, kind: str, form: str, source: Callable[[str], Path], tmp_path: Path
) -> None:
    spoilt = real_tokenizers.checkpoint(kind, tmp_path / "spoilt", dtype="float32")
    PLANTS[name].change(spoilt)
    try:
        made = convert(spoilt, form, tmp_path)
    except EdgeconvError:
        return  # refused, which is caught too
    assert failures(made, source(kind))[PLANTS[name].check]
