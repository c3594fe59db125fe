"""What a family takes for granted, got wrong while converting: norms whose weights lack 1, routers, sinks. Each is found."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgeconv.convert.families import gemma, glm4_moe, gpt_oss
from edgeconv.convert.gguf import write
from edgeconv.convert.gguf_values import boolean
from edgeconv.validate.parity import Ask, validate

from ..exact_artifacts import FORMATS, convert

Plant = Callable[[pytest.MonkeyPatch], None]


def norms_without_one(patch: pytest.MonkeyPatch) -> None:
    """Norms multiply by what is stored, not by 1 more."""
    assert gemma.FAMILY.gguf
    wrong = replace(gemma.FAMILY, norm_offset=0.0, gguf=replace(gemma.FAMILY.gguf, norm_offset=0.0))
    patch.setattr(gemma, "FAMILY", wrong)


def not_normalized_in_keys(patch: pytest.MonkeyPatch) -> None:
    """The keys say that the chosen experts' scores are taken as they are."""
    spec = glm4_moe.FAMILY.gguf
    assert spec and spec.keys
    sound = spec.keys

    def keys(config: Any, decoder: Any) -> Any:
        made = sound(config, decoder)
        assert "expert_weights_norm" in made
        return made | {"expert_weights_norm": boolean(False)}

    patch.setattr(glm4_moe, "FAMILY", replace(glm4_moe.FAMILY, gguf=replace(spec, keys=keys)))


def sinks_out_of_reach(patch: pytest.MonkeyPatch) -> None:
    """The sinks are written so low that no position's score sinks into them."""
    assert gpt_oss.FAMILY.gguf
    rows = write._rows

    def low(checkpoint: Any, placed: Any, start: int, stop: int) -> np.ndarray:
        made = rows(checkpoint, placed, start, stop)
        return made - 1e4 if "attn_sinks" in placed.tensor.name else made

    patch.setattr(write, "_rows", low)


CASES: dict[Plant, tuple[str, tuple[str, ...]]] = {
    norms_without_one: ("gemma", FORMATS),
    not_normalized_in_keys: ("glm4_moe", ("gguf",)),
    sinks_out_of_reach: ("gpt_oss", ("gguf",)),
}
"""The graphs of routers and sinks that are written here: test_planted_experts."""


@pytest.mark.parametrize(
    ("plant", "format_"), [(plant, form) for plant, (_, forms) in CASES.items() for form in forms],
    ids=lambda one: one if isinstance(one, str) else one.__name__,
)  # fmt: skip
def test_it_is_found(
    plant: Plant, format_: str, tiny_model: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDGECONV_CACHE", str(tmp_path / "cache"))
    source = tiny_model(CASES[plant][0])
    verdicts = {}
    for name, wrong in (("sound", None), ("planted", plant)):
        with monkeypatch.context() as patch:
            if wrong:
                wrong(patch)
            out = convert(source, tmp_path / name, format_)
        verdicts[name] = validate(Ask(out, reference=str(source), max_tokens=200, quick=True)).verdict
    assert verdicts["planted"] == "failed"
    assert verdicts["sound"] != "failed"
