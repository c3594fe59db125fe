"""The long run: `make fuzz`, which hands this file to pytest. EDGECONV_FUZZ_SECONDS says how long (600, all targets together)."""

import os
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

from ..reliability import record
from .bounds import bounded, little_memory, watchdog
from .mutate import Change, changes
from .small_targets import SMALL
from .targets import ALL, Target

SECONDS = float(os.environ.get("EDGECONV_FUZZ_SECONDS", "600"))
SEED = int(os.environ.get("EDGECONV_FUZZ_SEED", "20261122"))
ROUND = 2000
"""Examples between two looks at the clock."""
_figures: dict[str, dict[str, Any]] = {}


@pytest.mark.parametrize("kind", ALL + SMALL, ids=lambda kind: kind.name)
def test_for_minutes(kind: type[Target], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGECONV_CACHE", str(tmp_path / "cache"))
    target = kind(tmp_path)
    counted: Counter[str] = Counter()
    slowest = 0.0

    def execute(which: int, drawn: list[Change]) -> None:
        nonlocal slowest
        content = target.made(which, drawn)
        begun = time.process_time()
        with bounded(tmp_path):
            counted["taken" if target.run(content) else "refused"] += 1
        slowest = max(slowest, time.process_time() - begun)

    quiet = settings(max_examples=ROUND, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    begun, rounds = time.monotonic(), 0
    share = SECONDS / len(ALL + SMALL)
    with little_memory(), watchdog(share + 300):
        while time.monotonic() - begun < share:
            quiet(seed(SEED + rounds)(given(st.integers(0, 59), changes)(execute)))()
            rounds += 1
    for content in target.attacks.values():
        with little_memory(), bounded(tmp_path):
            target.run(content)
    _figures[target.name] = {
        "executions": counted.total(),
        "refused": counted["refused"],
        "attacks": len(target.attacks),
        "seconds": round(time.monotonic() - begun),
        "slowest_cpu_ms": round(slowest * 1000),
    }
    total = sum(figures["executions"] for figures in _figures.values())
    record("fuzz", {"seed": SEED, "targets": _figures, "executions": total, "crashes": 0, "hangs": 0, "escapes": 0})
