import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from edgeconv.core.scratch import PID, scratch, sweep


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def holding(parent: Path) -> subprocess.Popen[str]:
    program = f"""
        import time
        from pathlib import Path
        from edgeconv.core.scratch import scratch
        with scratch(Path({str(parent)!r}), "x-"):
            print("ready", flush=True)
            time.sleep(60)
    """
    process = subprocess.Popen([sys.executable, "-c", textwrap.dedent(program)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def test_it_is_removed_in_the_end_whatever_happens(tmp_path: Path) -> None:
    with scratch(tmp_path, "x-") as folder:
        (folder / "deep" / "er").mkdir(parents=True)
        assert int((folder / PID).read_text()) == os.getpid()
    with pytest.raises(ValueError, match="stop"), scratch(tmp_path, "x-"):
        raise ValueError("stop")
    assert names(tmp_path) == []


def test_what_was_renamed_away_stays(tmp_path: Path) -> None:
    with scratch(tmp_path, "x-") as folder:
        folder.rename(tmp_path / "kept")
    assert names(tmp_path) == ["kept"]


def test_the_living_keep_theirs_and_the_dead_do_not(tmp_path: Path) -> None:
    process = holding(tmp_path)
    assert len(sweep(tmp_path, "x-")) == 1
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert len(names(tmp_path)) == 1
    seen: list[list[str]] = []
    assert sweep(tmp_path, "x-", lambda folder: seen.append(names(folder))) == []
    assert seen == [[PID]]
    assert names(tmp_path) == []


def test_two_in_one_process_do_not_sweep_each_other(tmp_path: Path) -> None:
    with scratch(tmp_path, "x-") as first, scratch(tmp_path, "x-") as second:
        assert first != second
        assert first.is_dir()
        assert sweep(tmp_path, "x-") == sorted([first, second])


def test_links_files_and_other_names_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "far").mkdir()
    (tmp_path / "x-link").symlink_to(tmp_path / "far")
    (tmp_path / "x-file").write_text("")
    (tmp_path / "y-abc").mkdir()
    sweep(tmp_path, "x-")
    assert names(tmp_path) == ["far", "x-file", "x-link", "y-abc"]
