import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import pytest

from edgeconv.core.lifetime import undisturbed


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_a_signal_waits_for_the_end(name: str) -> None:
    """In a process of its own: pytest's faulthandler gives signal handlers a stack too small for a processor's AMX state."""
    program = f"""
        import signal
        from edgeconv.core.lifetime import undisturbed

        def raise_it(*_):
            raise KeyboardInterrupt

        signal.signal(signal.{name}, raise_it)
        try:
            with undisturbed():
                signal.raise_signal(signal.{name})
                signal.raise_signal(signal.{name})
                print("all of it")
            print("more")
        except KeyboardInterrupt:
            print("then interrupted")
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(program)], capture_output=True, text=True, check=True)
    assert done.stdout == "all of it\nthen interrupted\n"


def test_a_signal_after_the_alternate_stack_is_gone(tmp_path: Path) -> None:
    """It is what two `openvino.Core`s leave behind on a processor with AMX: Python's own handlers would end with SIGSEGV."""
    program = """
        import ctypes, signal
        from edgeconv.cli import main

        class Stack(ctypes.Structure):
            _fields_ = (("at", ctypes.c_void_p), ("flags", ctypes.c_int), ("size", ctypes.c_size_t))

        libc, size = ctypes.CDLL(None), 1 << 16
        libc.mmap.restype = ctypes.c_void_p
        at = libc.mmap(None, ctypes.c_size_t(size), 3, 0x22, -1, ctypes.c_long(0))
        assert libc.sigaltstack(ctypes.byref(Stack(at, 0, size)), None) == 0
        assert libc.munmap(ctypes.c_void_p(at), ctypes.c_size_t(size)) == 0
        {}
        for number in (signal.SIGINT, signal.SIGTERM):
            try:
                signal.raise_signal(number)
            except (KeyboardInterrupt, main.Terminated) as caught:
                print(type(caught).__name__)
    """
    safe, unsafe = (
        subprocess.run([sys.executable, "-c", textwrap.dedent(program).format(line)], capture_output=True, check=False)
        for line in ("main._listen()", "")
    )
    assert (safe.returncode, safe.stdout) == (0, b"KeyboardInterrupt\nTerminated\n"), safe.stderr
    assert unsafe.returncode == -signal.SIGSEGV  # the control


def test_an_ignored_signal_stays_ignored() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with undisturbed():
            signal.raise_signal(signal.SIGHUP)
    finally:
        signal.signal(signal.SIGHUP, before)


def test_in_another_thread_it_does_nothing() -> None:
    seen = []

    def work() -> None:
        with undisturbed():
            seen.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [signal.getsignal(signal.SIGINT)]


def test_a_helper_ends_with_its_parent(tmp_path: Path) -> None:
    """Even with one that gets no chance to end it."""
    helper = f"""
        import os, sys, time
        from pathlib import Path
        from edgeconv.core.lifetime import end_with
        end_with(int(sys.argv[1]))
        Path({str(tmp_path / "pid")!r}).write_text(str(os.getpid()))
        print("ready", flush=True)
        time.sleep(60)
    """
    parent = f"""
        import os, subprocess, sys
        subprocess.Popen([sys.executable, "-c", {textwrap.dedent(helper)!r}, str(os.getpid())]).wait()
    """
    process = subprocess.Popen([sys.executable, "-c", textwrap.dedent(parent)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    pid = int((tmp_path / "pid").read_text())
    process.send_signal(signal.SIGKILL)
    process.wait()
    for _ in range(1000):
        if not _runs(pid):
            return
        time.sleep(0.01)
    raise AssertionError("the helper lives on")


def test_a_helper_whose_parent_is_gone_already_ends_at_once() -> None:
    program = "from edgeconv.core.lifetime import end_with; end_with(1 << 22); print('lives')"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "")


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False
