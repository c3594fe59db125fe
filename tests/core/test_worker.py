import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import pytest

from edgeconv.core import patterns, worker
from edgeconv.core.errors import UsageError
from edgeconv.core.worker import Worker, WorkerFault

ENDLESS = {"patterns": ["^((a)+)+$"], "names": ["a" * 60 + "!"], "ignore_case": False}


@pytest.fixture
def own():
    made = Worker()
    yield made
    made.close()


def search(of: Worker, pattern: str = "a", **options: float):
    return of.ask("search", patterns=[pattern], names=["a", "b"], ignore_case=False, **options)


def test_one_process_does_many_tasks_and_another_comes_after_it_was_killed(own: Worker) -> None:
    assert search(own) == [[0]]
    first = own._process.pid
    assert search(own, "b") == [[1]]
    assert own._process.pid == first
    begun = time.monotonic()
    with pytest.raises(WorkerFault, match=r"^it runs for more than 0\.2 s$") as raised:
        own.ask("search", seconds=0.2, **ENDLESS)
    assert raised.value.limit
    assert time.monotonic() - begun < 15
    assert search(own) == [[0]]
    assert own._process.pid != first


def test_it_is_found_dead_and_started_again(own: Worker) -> None:
    search(own)
    os.kill(own._process.pid, signal.SIGKILL)
    own._process.wait()
    assert search(own) == [[0]]


def test_an_error_is_no_limit(own: Worker) -> None:
    with pytest.raises(WorkerFault, match="missing") as raised:
        search(own, "(")
    assert not raised.value.limit


def test_the_process_has_no_secret_no_site_and_may_write_nothing(own: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_SENTINEL")
    search(own)
    process = Path(f"/proc/{own._process.pid}")
    assert b"SENTINEL" not in (process / "environ").read_bytes()
    limits = (process / "limits").read_text()
    assert "Max file size             0" in limits
    assert b"\0-I\0-S\0" in (process / "cmdline").read_bytes()


def test_threads_take_turns(own: Worker) -> None:
    seen: list[object] = []
    threads = [threading.Thread(target=lambda: seen.append(search(own))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == [[[0]]] * 8


def test_a_forked_process_has_a_worker_of_its_own(own: Worker) -> None:
    search(own)
    child = os.fork()
    if not child:
        os._exit(0 if search(own) == [[0]] else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert search(own) == [[0]]


ASKS = f"""
import os, sys
from edgeconv.core.worker import Worker
one = Worker()
one.ask("search", patterns=["a"], names=["a"], ignore_case=False)
print(one._process.pid, flush=True)
one.ask("search", seconds=300, **{ENDLESS!r})
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL, signal.SIGTERM])
def test_whoever_asks_can_be_stopped_at_once_and_leaves_nothing(number: signal.Signals) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(ASKS)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as asking:
        child = int(asking.stdout.readline())
        time.sleep(0.3)
        begun = time.monotonic()
        asking.send_signal(number)
        asking.wait(timeout=10)
    assert time.monotonic() - begun < 2
    for _ in range(100):
        if not Path(f"/proc/{child}").exists() or " Z " in Path(f"/proc/{child}/stat").read_text():
            return
        time.sleep(0.05)
    raise AssertionError("the worker still runs")


def test_an_expression_without_an_end_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "SECONDS", 0.2)
    with pytest.raises(
        UsageError, match=r"--tensor-type '\^\(\(a\)\+\)\+\$' cannot be looked for .*: it runs for more than"
    ):
        patterns.found(ENDLESS["patterns"], ENDLESS["names"], "--tensor-type")
