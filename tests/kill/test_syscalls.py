"""System calls that answer with errors, by strace: the old artifact or the new one, never a mixture, and a sentence."""

from __future__ import annotations

import shutil
import subprocess
import sys
import textwrap
from functools import cache
from pathlib import Path

import pytest

from ..core.test_foreign_files import NEW, Folder, plant, seen, whole

pytestmark = pytest.mark.slow
OLD_FOREIGN = {".git/HEAD": b"mine", "notes/lab.txt": b"mine"}
CALLS = "fsync,fdatasync,rename,renameat2,mkdir,unlink,rmdir,flock,chmod,fchmod,fchmodat"
PROGRAM = """
    import sys
    from pathlib import Path
    from edgeconv.core.errors import OutputError
    from edgeconv.core.progress import Silent
    from edgeconv.core.staging import check_output, staged
    from tests.core.test_foreign_files import NEW, write_artifact

    class Told(Silent):
        def note(self, message):
            print("note:", message)

    try:
        check_output(Path("out"), force=True)
        with staged(Path("out"), force=True, progress=Told()) as folder:
            write_artifact(folder, NEW)
            print("written", flush=True)
    except (OutputError, OSError) as error:
        print("error:", error)
        raise SystemExit(1)
"""


@cache
def _can_trace() -> bool:
    if shutil.which("strace") is None:
        return False
    return subprocess.run(["strace", "-o", "/dev/null", "true"], check=False, capture_output=True).returncode == 0


@pytest.fixture(autouse=True)
def _strace() -> None:
    if not _can_trace():
        pytest.skip("strace is not here, or may not trace")


def convert(root: Path, *inject: str) -> subprocess.CompletedProcess[str]:
    """Replace an artifact, foreign files in it, by a process whose system calls fail as told."""
    if not (root / "out").exists():
        Folder().write_old(root)
        plant(root / "out", OLD_FOREIGN)
    faults = [word for fault in inject for word in ("-e", f"inject={fault}")]
    line = [
        "strace",
        "-f",
        "--seccomp-bpf",
        "-qq",
        "-o",
        "/dev/null",
        "-e",
        f"trace={CALLS}",
        *faults,
        sys.executable,
        "-c",
        textwrap.dedent(PROGRAM),
    ]
    repository = str(Path(__file__).parents[2])
    return subprocess.run(
        line, cwd=root, env={"PYTHONPATH": repository, "PATH": "/usr/bin:/bin"}, capture_output=True, text=True,
        check=False, timeout=120,
    )  # fmt: skip


def survived(root: Path) -> None:
    found = seen(root / "out")
    assert {name: found[name] for name in OLD_FOREIGN} == OLD_FOREIGN


@pytest.mark.parametrize("error", ["EINVAL", "EPERM"])
def test_a_file_system_that_knows_no_fsync_chmod_or_lock(error: str, tmp_path: Path) -> None:
    done = convert(
        tmp_path, f"fsync,fdatasync:error={error}", f"chmod,fchmod,fchmodat:error={error}", f"flock:error={error}"
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("does not say when files are on the disk") == 1
    assert whole(tmp_path / "out") == b"new"
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    survived(tmp_path)


@pytest.mark.parametrize("when", (1, 3, 6))
def test_a_disk_that_cannot_keep_what_it_was_given(when: int, tmp_path: Path) -> None:
    done = convert(tmp_path, f"fsync:error=EIO:when={when}")
    assert done.returncode == 1, done.stdout + done.stderr
    assert "Input/output error" in done.stdout
    assert "out.partial-" in done.stdout  # the name of what could not be kept
    assert whole(tmp_path / "out") == b"old"
    survived(tmp_path)
    assert convert(tmp_path).returncode == 0
    assert whole(tmp_path / "out") == b"new"
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    survived(tmp_path)


@pytest.mark.parametrize("error", ["EIO", "ENOSPC"])
@pytest.mark.parametrize("when", range(1, 5))
def test_renames_that_fail(error: str, when: int, tmp_path: Path) -> None:
    """Journal, folder, and each piece of the user's; renameat2 is not there, so that the two steps are taken."""
    done = convert(tmp_path, "renameat2:error=ENOSYS", f"rename:error={error}:when={when}")
    assert "Traceback" not in done.stderr, done.stderr
    if done.returncode:
        assert "error:" in done.stdout
    again = convert(tmp_path)
    assert again.returncode == 0, again.stdout + again.stderr
    assert whole(tmp_path / "out") == b"new"
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    survived(tmp_path)


@pytest.mark.parametrize("call", ["mkdir", "unlink", "rmdir"])
@pytest.mark.parametrize("when", (1, 2))
def test_folders_and_files_that_cannot_be_made_or_removed(call: str, when: int, tmp_path: Path) -> None:
    done = convert(tmp_path, f"{call}:error=EIO:when={when}")
    assert "Traceback" not in done.stderr, done.stderr
    assert whole(tmp_path / "out") in (b"old", b"new")
    survived(tmp_path)
    again = convert(tmp_path)
    assert again.returncode == 0, again.stdout + again.stderr
    assert whole(tmp_path / "out") == b"new"
    survived(tmp_path)


def test_a_lock_that_everybody_is_granted(tmp_path: Path) -> None:
    """The control for the leases: with every lock granted a run still ends well, alone."""
    done = convert(tmp_path, "flock:retval=0")
    assert done.returncode == 0, done.stdout + done.stderr
    assert set(seen(tmp_path / "out")) >= set(NEW)
    survived(tmp_path)
