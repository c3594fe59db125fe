"""Hostile files for seconds; `make fuzz` does the same for minutes. Only edgeconv's own errors may come out."""

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from .bounds import STUCK, bounded, little_memory, watchdog
from .mutate import Change, changes
from .small_targets import SMALL
from .targets import ALL, Target

EXAMPLES = 150
HARMLESS = {"chat template", "recipe", "manifest"}
"""Of these some attacks come to nothing: what the sandbox hides is empty, a file's name is one that is not there."""


@pytest.fixture(scope="module", params=ALL + SMALL, ids=lambda kind: kind.name)
def target(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    root = tmp_path_factory.mktemp("fuzz")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EDGECONV_CACHE", str(root / "cache"))
        made = request.param(root)
        assert made.run(made.made(1, [])), "the seed is not sound"
        yield made


def test_what_earlier_attacks_looked_like(target: Target) -> None:
    for title, content in target.attacks.items():
        try:
            with little_memory(), bounded(target.folder.parent):
                taken = target.run(content)
        except BaseException as error:
            raise AssertionError(f"{title}: {error!r}") from error
        assert not taken or target.name in HARMLESS, title


def test_changed_files(target: Target) -> None:
    @settings(
        max_examples=EXAMPLES, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck)
    )
    @given(st.integers(0, 59), changes)
    def execute(which: int, drawn: list[Change]) -> None:
        with bounded(target.folder.parent):
            target.run(target.made(which, drawn))

    with little_memory(), watchdog(STUCK):
        execute()
