"""Pages of mapped files are dropped from the process, and what they hold is there again when it is read."""

import mmap
import time
from pathlib import Path

import numpy as np
import pytest

from edgeconv.core.mapped_pages import mappings, release_pages, releasing

pytestmark = pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="only Linux lists its mappings")
SIZE = 32 << 20


def resident(path: Path) -> int:
    """Bytes of the file's pages in this process."""
    total, inside = 0, False
    for line in Path("/proc/self/smaps").read_text().splitlines():
        head = line.split(maxsplit=5)
        if "-" in head[0]:
            inside = len(head) == 6 and head[5] == str(path)
        elif inside and head[0] == "Rss:":
            total += int(head[1]) << 10
    return total


@pytest.fixture
def mapped(tmp_path):
    path = tmp_path / "weights with spaces.bin"
    values = np.random.default_rng(0).integers(0, 255, SIZE, np.uint8)
    path.write_bytes(values.tobytes())
    with path.open("rb") as file:
        view = np.frombuffer(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ), np.uint8)
    assert (view == values).all()
    return path, view, values


def test_read_pages_are_dropped_and_come_back(mapped, tmp_path):
    path, view, values = mapped
    assert resident(path) >= SIZE
    link = tmp_path / "link.bin"
    link.symlink_to(path)
    assert release_pages([link]) >= SIZE
    assert resident(path) == 0
    assert (view == values).all()


def test_other_files_and_changed_pages_stay(mapped, tmp_path):
    path, view, _ = mapped
    assert release_pages([tmp_path / "another.bin"]) == 0
    assert resident(path) >= SIZE
    with path.open("rb") as file:
        private = np.frombuffer(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY), np.uint8)
    private[:] = 7
    release_pages([path])
    assert (private == 7).all()
    assert view[0] == path.read_bytes()[0]


def test_pages_are_dropped_while_a_block_runs(mapped):
    path, view, values = mapped
    with releasing(mappings([path]), every=0.001):
        ends = time.monotonic() + 10
        while resident(path) and time.monotonic() < ends:
            time.sleep(0.001)
        assert resident(path) == 0
        assert (view == values).all()
    assert (view == values).all()
    time.sleep(0.02)
    assert resident(path) >= SIZE  # and no longer than that


def test_what_is_mapped_later_is_left_alone(mapped):
    """Its owner has not promised to keep it."""
    path, view, _ = mapped
    with releasing(mappings([path]), every=0.001), path.open("rb") as file:
        later = np.frombuffer(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ), np.uint8)
        assert int(later.sum()) == int(view.sum())
        time.sleep(0.05)
        assert resident(path) >= SIZE
