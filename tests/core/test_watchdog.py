"""A library that does not return, holding the interpreter's lock or not, does not keep the program from ending."""

import signal
import subprocess
import sys
import textwrap
import time

import pytest

PROGRAM = """
import signal, sys, time
from edgeconv.cli import main
from edgeconv.core import watchdog

def body(arguments):
    print("ready", flush=True)
    {body}

main._invoke = body
sys.argv = ["edgeconv"]
main.main()
"""
HELD = """one, other = [1], [1]
    for _ in range(60):
        one, other = [one, one], [other, other]
    one == other"""
"""One call into C that holds the lock for ever: neither a handler nor a thread of Python runs."""


def ended(body: str, *numbers: signal.Signals, pause: float = 0.5) -> tuple[int, str, float]:
    """Run a program, send it signals, and return its exit code, what it said and how long it took to end."""
    text = textwrap.dedent(PROGRAM).format(body=body)
    with subprocess.Popen(
        [sys.executable, "-c", text], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as running:
        assert running.stdout.readline() == "ready\n"
        time.sleep(0.2)
        begun = time.monotonic()
        for number in numbers:
            running.send_signal(number)
            time.sleep(pause if number is not numbers[-1] else 0)
        _, said = running.communicate(timeout=60)
    return running.returncode, said, time.monotonic() - begun


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_call_that_holds_the_lock(number: signal.Signals) -> None:
    code, said, seconds = ended(HELD, number)
    assert code == -signal.SIGKILL
    assert "did not return" in said
    assert 1 < seconds < 2.5


def test_whoever_hears_the_signal_ends_as_ever() -> None:
    code, said, seconds = ended("time.sleep(60)", signal.SIGINT)
    assert (code, said) == (130, "error: Interrupted.\n")
    assert seconds < 2


def test_an_answer_that_is_interrupted_is_no_end_of_the_program() -> None:
    body = """try:
        time.sleep(60)
    except KeyboardInterrupt:
        time.sleep(4)  # a chat goes on
    return 0"""
    code, said, seconds = ended(body, signal.SIGINT)
    assert (code, said) == (0, "")
    assert seconds > 3.5


def test_a_program_that_ends_by_itself_has_all_the_time_for_it() -> None:
    """torch and OpenVINO take seconds to be torn down on a busy machine."""
    body = """import atexit
    atexit.register(time.sleep, 4)
    return 0"""
    assert ended(body)[:2] == (0, "")


def test_cleaning_has_its_time() -> None:
    body = """try:
        time.sleep(60)
    finally:
        time.sleep(4)"""
    assert ended(body, signal.SIGTERM)[:2] == (143, "error: Terminated.\n")


def test_a_thread_that_never_ends_does_not_keep_the_interpreter() -> None:
    body = """import threading
    threading.Thread(target=time.sleep, args=(60,)).start()
    time.sleep(60)"""
    code, _, seconds = ended(body, signal.SIGINT)
    assert code == 130
    assert seconds < 2


def test_a_forked_process_does_not_speak_for_its_parent() -> None:
    body = """import os
    child = os.fork()
    if not child:
        signal.signal(signal.SIGTERM, lambda *_: None)
        time.sleep(60)
        os._exit(0)
    time.sleep(0.3)
    os.kill(child, signal.SIGTERM)
    time.sleep(4)
    os.kill(child, signal.SIGKILL)
    return 0"""
    assert ended(body)[:2] == (0, "")
