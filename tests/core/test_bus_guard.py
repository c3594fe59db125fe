"""A mapped file that is cut short: the process lives, and the file is named."""

from __future__ import annotations

import gc
import mmap
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from edgeconv.core import bus_guard

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux is guarded")

PROGRAM = """
    import mmap, os, sys, threading
    from pathlib import Path
    import numpy as np
    from edgeconv.core import bus_guard
    from edgeconv.core.errors import CheckpointError

    path = Path(sys.argv[1])
    with path.open("rb") as file:
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    if sys.argv[2] == "watched":
        bus_guard.watch(mapped, path)
    else:
        bus_guard.watch(mmap.mmap(-1, 4096), path)
    values = np.frombuffer(mapped, np.uint8)
    bus_guard.require_whole(path)
    os.truncate(path, 8192)
    sums = []
    def read():
        sums.append(int(values.sum()))
        sums.append(int(np.array(values[-5:]).sum()))
    if sys.argv[3] == "thread":
        thread = threading.Thread(target=read)
        thread.start()
        thread.join()
    else:
        read()
    print(sums[0], sums[1])
    try:
        bus_guard.require_whole(path)
    except CheckpointError as error:
        print(error.message)
"""


def run(path: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    path.write_bytes(b"\x01" * (1 << 20))
    line = [sys.executable, "-c", textwrap.dedent(PROGRAM), str(path), *arguments]
    return subprocess.run(line, capture_output=True, text=True, check=False, timeout=60)


@pytest.mark.parametrize("where", ["main", "thread"])
def test_what_is_gone_reads_as_zeros_and_the_file_is_named(where: str, tmp_path: Path) -> None:
    done = run(tmp_path / "weights", "watched", where)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[0] == "8192 0"
    assert f"{tmp_path / 'weights'} was written, replaced or removed while it was read" in done.stdout


def test_another_bus_error_ends_the_process_as_before(tmp_path: Path) -> None:
    """The control: without the guard the same reads are fatal."""
    assert run(tmp_path / "weights", "unwatched", "main").returncode == -signal.SIGBUS


def test_a_file_is_watched_as_long_as_it_is_mapped(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"1" * 5000)
    descriptor = os.open(path, os.O_RDONLY)
    mapped = mmap.mmap(descriptor, 0, access=mmap.ACCESS_READ)
    os.close(descriptor)
    gc.collect()  # what other tests had mapped
    before = len(bus_guard._watched)
    bus_guard.watch(mapped, path)
    assert len(bus_guard._watched) == before + 1
    mapped.close()
    del mapped
    gc.collect()
    assert len(bus_guard._watched) == before
