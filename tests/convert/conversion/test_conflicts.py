"""What stands against a run is said once, however many checks meet it."""

from __future__ import annotations

import time

import pytest

from edgeconv.convert.conversion.conflicts import Collector
from edgeconv.core import patterns, worker
from edgeconv.core.errors import UsageError

ENDLESS = "^(([a-z0-9_.])+)+$!"


def refuse(message: str) -> None:
    raise UsageError(message, "A hint.")


def test_the_same_refusal_is_one() -> None:
    collector = Collector(stops=False)
    for message in ("One.", "Two.", "One."):
        assert collector.check(lambda said=message: refuse(said)) is None  # type: ignore[misc]
    assert [conflict.message for conflict in collector.conflicts()] == ["One.", "Two."]
    with pytest.raises(UsageError, match=r"^2 conflicts: 1\. One\. 2\. Two\.$"):
        collector.stop()
    single = Collector(stops=False)
    for _ in range(2):
        single.check(lambda: refuse("One."))
    with pytest.raises(UsageError, match=r"^One\.$"):
        single.stop()


def test_an_expression_without_an_end_is_waited_for_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "SECONDS", 0.5)
    monkeypatch.setattr(patterns, "_endless", {})
    collector = Collector(stops=False)
    for names in (["a" * 60], ["b" * 70]):
        begun = time.process_time(), time.monotonic()
        collector.check(lambda listed=names: patterns.found([ENDLESS], listed, "--tensor-precision"))  # type: ignore[misc]
    assert time.monotonic() - begun[1] < 0.4  # the second time
    assert len(collector.conflicts()) == 1
    assert "runs for more than" in collector.conflicts()[0].message
