"""Every command is killed once at each of its stage boundaries; `make kill` does it everywhere else too."""

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from .commands import (
    ALL,
    Chat,
    Command,
    Forced,
    Frontier,
    Gguf,
    Onnx,
    OpenVINO,
    Publish,
    Run,
    Search,
    Validate,
)  # fmt: skip
from .trial import Bench, Forker, KillingHub, Stop

pytestmark = pytest.mark.slow
SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    root = tmp_path_factory.mktemp("kill")
    with KillingHub() as hub, Forker(root, hub) as forker:
        yield Bench(root, forker)


BOUNDARIES: dict[type[Command], tuple[str, ...]] = {
    OpenVINO: ("mkdir out", "task ", "write out*/new/edgeconv.json", "rename out"),
    Forced: ("write out*/new/edgeconv.json", "rename out", "remove out", "rmtree out"),
    Onnx: ("task Writing", "write out*/new/edgeconv.json", "rename out"),
    Gguf: ("mkdir x.gguf", "task ", "write x.gguf*/new/x.edgeconv.json", "rename x."),
    Validate: ("task Comparing weights", "task Running", "rename report/parity.json"),
    Run: ("task Hashing model", "rename out/small-good/parity/parity.json", "task Publishing"),
    Frontier: ("mkdir tmp/*-trial-", "mkdir tmp/*-config-", "rename cache/figures/trial-", "rename found/frontier"),
    Search: ("mkdir tmp/*-trial-", "rename cache/figures/trial-", "rename found.yaml"),
    Chat: ("start ",),
    Publish: ("task ", "reply 1", "request LAST", "reply LAST"),
}
"""Where one stage ends and the next begins; of `edgeconv run` only what the other commands do not have."""


def boundaries(command: Command, points: list[str]) -> list[str]:
    """The points of a life that begin as those above."""
    last = max(int(point.split()[1]) for point in ["request 0", *points] if point.startswith("request "))
    commit = last - 2  # behind the commit the branch is looked at once more, and its list of files
    kinds = tuple(kind.replace("LAST", str(commit)) for kind in BOUNDARIES[type(command)])
    exact = {kind for kind in kinds if kind[-1].isdigit()}  # "reply 1" is not "reply 10"
    begins = tuple(set(kinds) - exact)
    return [point for point in points if point in exact or point.startswith(begins)]


@pytest.mark.parametrize("kind", ALL, ids=lambda kind: kind.name)
def test_killed_at_each_stage_boundary(kind: type[Command], bench: Bench) -> None:
    command = kind(bench.stage)
    _, undisturbed = bench.undisturbed(command)
    stops = [
        Stop(SIGNALS[number % 3], point, group=number % 2 == 1)
        for number, point in enumerate(boundaries(command, undisturbed.points))
    ]
    timed = []
    if not command.lasting:  # it writes nothing, so its life has few points; a time may come too late
        timed = [Stop(SIGNALS[number % 3], after=undisturbed.seconds * number / 10) for number in range(1, 7)]
    assert len(stops) + len(timed) >= 3
    ended = bench.trial(command, [*stops, *timed])[: len(stops)]
    assert sum(end.code != 0 for end in ended) >= len(stops) * 2 // 3, [end.code for end in ended]


def test_a_second_run_to_one_output_is_refused_and_the_first_one_ends_well(bench: Bench) -> None:
    command = OpenVINO(bench.stage)
    expected, _ = bench.undisturbed(command)
    root = bench.stage.root / "two"
    root.mkdir()
    line = command.arguments(root)
    with bench.forker.started(root, line, Stop(signal.SIGSTOP, "task Writing weights")) as (process, first):
        wait_until_stopped(process)
        second = bench.forker.begin(root, line)
        _, said = second.communicate(timeout=120)
        os.kill(process, signal.SIGCONT)
    assert (first.code, command.result(root)) == (0, expected)
    assert second.returncode == 1
    assert "Another run is writing" in said
    assert "hint: Wait for it" in said


def test_two_runs_that_begin_together(bench: Bench) -> None:
    """Whoever is first wins; the other is refused, at the beginning or at the end."""
    command = Gguf(bench.stage)
    expected, _ = bench.undisturbed(command)
    root = bench.stage.root / "together"
    root.mkdir()
    both = [bench.forker.begin(root, command.arguments(root)) for _ in range(2)]
    said = [process.communicate(timeout=120)[1] for process in both]
    assert 0 in [process.returncode for process in both], said
    assert all("Traceback" not in text for text in said)
    for process, text in zip(both, said, strict=True):
        assert process.returncode in (0, 1)
        assert process.returncode == 0 or "Another run" in text or "exists" in text
    assert command.result(root) == expected
    assert not [path.name for path in root.iterdir() if "partial" in path.name]


def wait_until_stopped(process: int) -> None:
    for _ in range(6000):
        if Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] == "T":
            return
        time.sleep(0.01)
    raise AssertionError("the process was never stopped")
