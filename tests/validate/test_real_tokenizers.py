"""Real tokenizers under tiny checkpoints: sound artifacts pass the tokens and the template check, planted faults do not.

Here a slice; `make tokenizers` runs all kinds and faults (tests/exact/tokenizers.py), `make exact` all sound ones.
"""

from pathlib import Path

import pytest

from .real_artifacts import FORMATS, RealArtifacts, cases, failures

SMALL = ("llama2", "mistral_v1")
"""Vocabularies of 32,000 tokens: seconds."""


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("kind", [*SMALL, "qwen3"])
def test_a_sound_artifact_passes(kind: str, form: str, real_artifacts: RealArtifacts) -> None:
    assert failures(real_artifacts.sound(kind, form), real_artifacts.source(kind)) == {"tokens": [], "template": []}


@pytest.mark.parametrize(("name", "kind", "form"), cases(("llama2",)))
def test_a_planted_fault_is_caught(
    name: str, kind: str, form: str, real_artifacts: RealArtifacts, tmp_path: Path
) -> None:
    real_artifacts.require_caught(name, kind, form, tmp_path)


def test_a_flag_that_only_a_ggufs_keys_show_is_compared(real_artifacts: RealArtifacts, tmp_path: Path) -> None:
    real_artifacts.require_caught("special flag flipped", "qwen3", "gguf", tmp_path)
