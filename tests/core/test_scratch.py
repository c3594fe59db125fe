import json
import os
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from edgeconv.core.lease import SILENT
from edgeconv.core.scratch import MARKER, scratch, sweep


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
        assert json.loads((folder / MARKER).read_text())["pid"] == os.getpid()
        assert folder.stat().st_mode & 0o777 == 0o700
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
    assert seen == [[MARKER]]
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


def foreign(parent: Path) -> list[Path]:
    """Folders with names that look like ours, and what people might have in them."""
    made = []
    for name, content in (
        ("x-results", {"measurements.csv": "1"}),
        ("x-0123456789abcdef", {"a.txt": "1"}),
        ("x-0123456789abcdee", {}),
        ("x-pid", {".pid": "1"}),
        ("x-empty", {}),
        ("x-marked", {MARKER: "{}"}),
        ("x-list", {MARKER: "[]", "notes": "1"}),
        ("x-binary", {MARKER: "\udcff", "notes": "1"}),
    ):
        folder = parent / name
        folder.mkdir()
        for file, text in content.items():
            (folder / file).write_text(text, "utf-8", "surrogateescape")
        made.append(folder)
    return made


def test_a_folder_that_is_only_called_so_is_left_alone(tmp_path: Path) -> None:
    made = foreign(tmp_path)
    before = {path: path.read_bytes() for folder in made for path in folder.iterdir()}
    assert sweep(tmp_path, "x-") == []
    with scratch(tmp_path, "x-"):
        pass
    assert all(folder.is_dir() for folder in made)
    assert {path: path.read_bytes() for folder in made for path in folder.iterdir()} == before


def test_a_copy_that_somebody_made_of_ours_is_theirs(tmp_path: Path) -> None:
    with scratch(tmp_path, "x-") as folder:
        (folder / "half").write_text("worth a look")
        shutil.copytree(folder, tmp_path / "x-rescued")
    assert sweep(tmp_path, "x-") == []
    assert (tmp_path / "x-rescued" / "half").read_text() == "worth a look"


@pytest.mark.parametrize("marker", [None, "", '{"id": "'])
def test_a_folder_that_was_not_marked_yet_goes(tmp_path: Path, marker: str | None) -> None:
    """A kill between the folder and its marker: the name proves whose it is, while nothing else is in it."""
    with scratch(tmp_path, "x-") as folder:
        name = folder.name
    (tmp_path / name).mkdir()
    if marker is not None:
        (tmp_path / name / MARKER).write_text(marker)
    sweep(tmp_path, "x-")
    assert names(tmp_path) == []
    (tmp_path / name).mkdir()
    (tmp_path / name / "thesis.tex").write_text("mine")
    sweep(tmp_path, "x-")
    assert names(tmp_path) == [name]


def granted(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a network file system whose locks are those of one machine, or none."""
    monkeypatch.setattr("fcntl.flock", lambda *_: None)


def test_a_lock_that_everybody_is_granted_is_no_proof_of_death(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    granted(monkeypatch)
    process = holding(tmp_path)
    assert len(sweep(tmp_path, "x-")) == 1
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert sweep(tmp_path, "x-") == []
    assert names(tmp_path) == []
    with scratch(tmp_path, "x-") as first, scratch(tmp_path, "x-"):
        assert first.is_dir()


@pytest.mark.parametrize(("fact", "value"), [("host", "elsewhere"), ("boot", "another"), ("started", 1)])
@pytest.mark.parametrize("age", [0, 30, 61, 100_000])
def test_a_lease_of_another_machine_holds_while_it_is_fresh(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fact: str, value: object, age: float
) -> None:
    granted(monkeypatch)
    process = holding(tmp_path)
    (folder,) = tmp_path.iterdir()
    marker = folder / MARKER
    process.send_signal(signal.SIGKILL)
    process.communicate()
    said = json.loads(marker.read_text())
    marker.write_text(json.dumps({**said, "pid": os.getppid(), fact: value}))
    os.utime(marker, (time.time() - age,) * 2)
    asked = fact != "started"  # a number that another process of this machine has by now proves the first one's death
    assert bool(sweep(tmp_path, "x-")) == (asked and age < SILENT)
    assert folder.exists() == (asked and age < SILENT)


def test_signs_of_life_are_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edgeconv.core.lease.RENEWED", 0.02)
    monkeypatch.setattr("edgeconv.core.lease._thread", None)
    with scratch(tmp_path, "x-") as folder:
        os.utime(folder / MARKER, (0, 0))
        for _ in range(500):
            if (folder / MARKER).stat().st_mtime > 0:
                return
            time.sleep(0.01)
    raise AssertionError("no sign of life")
