"""Every planted fault of every real tokenizer must be caught in every format that can show it: `make tokenizers`.

The sound artifacts of the same tokenizers are measured by campaign.py.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from ..validate.real_artifacts import RealArtifacts, cases


@pytest.mark.parametrize(("name", "kind", "form"), cases())
def test_a_planted_fault_is_caught(
    name: str, kind: str, form: str, real_artifacts: RealArtifacts, tmp_path: Path
) -> None:
    real_artifacts.require_caught(name, kind, form, tmp_path)
