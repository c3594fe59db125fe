import errno
import glob
import json
import os
import re
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from edgeconv.core.errors import OutputError
from edgeconv.core.manifest import read_manifest
from edgeconv.core.scratch import MARKER
from edgeconv.core.staging import check_files, check_output, staged, staged_files

from .artifacts import digest, make, sample


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def write(target: Path, text: str) -> None:
    """Write an artifact whose one file beside the manifest says `text`."""
    with staged(target) as folder:
        fill(folder, text)


def fill(folder: Path, text: str) -> None:
    (folder / "config.json").write_text(text)
    describe(folder, ["config.json"])


def describe(folder: Path, files: list[str], name: str = "edgeconv.json") -> None:
    """Write a manifest that names just these files."""
    outputs = {file: digest(folder / file) for file in files}
    sample().model_copy(update={"outputs": outputs}).write(folder, name)


def holds(target: Path) -> str:
    """Return what the artifact that lies there says; it must be whole."""
    manifest = read_manifest(target)
    assert {name: digest(target / name) for name in manifest.outputs} == manifest.outputs
    return (target / "config.json").read_text()


def kill(target: Path, body: str = "time.sleep(60)") -> Path:
    """Kill a run in the middle; return what it left beside the target."""
    process = start(target, body)
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=60)
    (left,) = target.parent.glob(f"{glob.escape(target.name)}.partial-*")
    return left


def start(target: Path, body: str) -> subprocess.Popen[str]:
    """Run `body` inside `staged(target)` in another process; return when it has printed a line."""
    program = f"""
        import sys, time
        from pathlib import Path
        from edgeconv.core.staging import staged
        with staged(Path({str(target)!r})) as folder:
            (folder / "half").write_text("half")
            print("ready", flush=True)
            {body}
    """
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(program)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def finish(process: subprocess.Popen[str]) -> int:
    process.communicate("go\n", timeout=60)
    return process.returncode


@contextmanager
def mounted(folder: Path, options: str) -> Iterator[None]:
    command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
    if subprocess.run(command, check=False, capture_output=True).returncode:
        pytest.skip("mounting a disk for a test needs root")
    try:
        yield
    finally:
        subprocess.run(["umount", folder], check=True)


def test_the_result_appears_under_its_name_and_nothing_else_stays(tmp_path: Path) -> None:
    write(tmp_path / "deep" / "out", "new")
    assert names(tmp_path / "deep") == ["out"]
    assert names(tmp_path / "deep" / "out") == ["config.json", "edgeconv.json"]


@pytest.mark.parametrize(("mask", "mode"), [(0o022, 0o755), (0o077, 0o700), (0o002, 0o775)])
def test_the_mask_of_the_user_is_honored(tmp_path: Path, mask: int, mode: int) -> None:
    before = os.umask(mask)
    try:
        write(tmp_path / "out", "new")
    finally:
        os.umask(before)
    assert (tmp_path / "out").stat().st_mode & 0o777 == mode
    assert (tmp_path / "out" / "config.json").stat().st_mode & 0o777 == mode & 0o666


def test_the_target_is_absent_until_the_end(tmp_path: Path) -> None:
    with staged(tmp_path / "out") as folder:
        assert folder.parent.parent == tmp_path
        assert not (tmp_path / "out").exists()
    assert (tmp_path / "out").is_dir()


def test_an_old_result_is_replaced_whole(tmp_path: Path) -> None:
    with staged(tmp_path / "out") as folder:
        make(folder)
    write(tmp_path / "out", "new")
    assert names(tmp_path) == ["out"]
    assert names(tmp_path / "out") == ["config.json", "edgeconv.json"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_an_error_leaves_the_old_result_and_nothing_new(tmp_path: Path, error: type[BaseException]) -> None:
    write(tmp_path / "out", "old")
    with pytest.raises(error), staged(tmp_path / "out") as folder:
        fill(folder, "new")
        raise error
    assert names(tmp_path) == ["out"]
    assert holds(tmp_path / "out") == "old"


def test_what_a_killed_run_left_is_removed_by_the_next(tmp_path: Path) -> None:
    write(tmp_path / "out", "old")
    kill(tmp_path / "out")
    assert len(names(tmp_path)) == 2
    assert holds(tmp_path / "out") == "old"
    write(tmp_path / "out", "new")
    assert names(tmp_path) == ["out"]
    assert holds(tmp_path / "out") == "new"


def test_a_run_that_lives_keeps_its_folder_and_its_output(tmp_path: Path) -> None:
    process = start(tmp_path / "out", "sys.stdin.readline()")
    with pytest.raises(OutputError, match=rf"Another run is writing .*: process {process.pid} on "):
        write(tmp_path / "out", "mine")
    assert len(names(tmp_path)) == 1
    assert finish(process) == 0
    assert names(tmp_path) == ["out"]
    assert names(tmp_path / "out") == ["half"]


def test_a_reused_process_number_does_not_keep_what_is_dead(tmp_path: Path) -> None:
    marker = kill(tmp_path / "out") / MARKER
    marker.write_text(json.dumps({**json.loads(marker.read_text()), "pid": os.getppid()}))
    write(tmp_path / "out", "new")
    assert names(tmp_path) == ["out"]


def test_two_runs_where_every_lock_is_granted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fcntl.flock", lambda *_: None)
    process = start(tmp_path / "out", "sys.stdin.readline()")
    with pytest.raises(OutputError, match="Another run is writing"):
        write(tmp_path / "out", "mine")
    assert finish(process) == 0
    assert names(tmp_path / "out") == ["half"]


def test_a_run_whose_folder_was_taken_for_a_dead_ones(tmp_path: Path) -> None:
    """On another machine, where every lock is granted, and after a long stop: it must not publish what may be incomplete."""
    with pytest.raises(OutputError, match="sign of life"), staged(tmp_path / "out") as folder:
        fill(folder, "new")
        (folder.parent / MARKER).unlink()
    assert names(tmp_path) == []


def test_what_appeared_meanwhile_is_not_replaced(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="meanwhile"), staged(tmp_path / "out") as folder:
        (folder / "edgeconv.json").write_text("new")
        make(tmp_path / "out")
    assert (tmp_path / "out" / "config.json").is_file()
    with pytest.raises(OutputError, match="meanwhile"), staged_files(tmp_path / "x.gguf") as folder:
        (folder / "x.gguf").write_text("GGUFnew")
        (tmp_path / "x.gguf").write_text("GGUFother")
        (tmp_path / "x.edgeconv.json").write_text("other")
    assert (tmp_path / "x.gguf").read_text() == "GGUFother"
    assert names(tmp_path) == ["out", "x.edgeconv.json", "x.gguf"]


def test_without_an_exchange_of_names_an_old_result_still_comes_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the system cannot exchange names, there is a moment without a result; a kill in it loses nothing."""
    monkeypatch.setattr("edgeconv.core.in_place._exchange", lambda *_: False)
    write(tmp_path / "out", "old")
    write(tmp_path / "out", "new")
    assert names(tmp_path) == ["out"]
    assert holds(tmp_path / "out") == "new"


def test_a_name_with_signs_of_patterns_is_swept_too(tmp_path: Path) -> None:
    kill(tmp_path / "[a]*")
    write(tmp_path / "[a]*", "new")
    assert names(tmp_path) == ["[a]*"]


def test_neighbors_are_not_touched(tmp_path: Path) -> None:
    for name in ("out.partial", "out-2.partial-abc", "another.partial-abc"):
        (tmp_path / name).mkdir()
    (tmp_path / "out.partial-file").write_text("a file, not a folder")
    write(tmp_path / "out", "new")
    assert names(tmp_path) == ["another.partial-abc", "out", "out-2.partial-abc", "out.partial", "out.partial-file"]


def test_force_is_needed_where_something_is(tmp_path: Path) -> None:
    make(tmp_path / "out")
    with pytest.raises(OutputError, match="not empty") as caught:
        check_output(tmp_path / "out", force=False)
    assert "--force" in str(caught.value.hint)
    check_output(tmp_path / "out", force=True)


def test_force_replaces_converted_models_only(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("three years")
    with pytest.raises(OutputError, match="no conversion wrote"):
        check_output(tmp_path, force=True)


@pytest.mark.parametrize("force", [False, True])
def test_a_file_or_a_link_is_never_replaced(tmp_path: Path, force: bool) -> None:
    (tmp_path / "file").write_text("x")
    (tmp_path / "link").symlink_to(tmp_path / "file")
    (tmp_path / "dangling").symlink_to(tmp_path / "nothing")
    for name in ("file", "link", "dangling"):
        with pytest.raises(OutputError, match=r"not a folder|nothing that is a folder"):
            check_output(tmp_path / name, force=force)


def test_a_link_to_a_folder_stands_for_it(tmp_path: Path) -> None:
    for part in ("disk", "home"):
        (tmp_path / part).mkdir()
    (tmp_path / "disk" / "model").mkdir()
    (tmp_path / "home" / "out").symlink_to(tmp_path / "disk" / "model")
    check_output(tmp_path / "home" / "out", force=False)  # empty
    write(tmp_path / "home" / "out", "old")
    with pytest.raises(OutputError, match="not empty"):
        check_output(tmp_path / "home" / "out", force=False)
    check_output(tmp_path / "home" / "out", force=True)
    write(tmp_path / "home" / "out", "new")
    assert (tmp_path / "home" / "out").is_symlink()
    assert (names(tmp_path / "home"), names(tmp_path / "disk")) == (["out"], ["model"])
    assert holds(tmp_path / "disk" / "model") == "new"


def test_an_absent_or_empty_folder_is_free(tmp_path: Path) -> None:
    check_output(tmp_path, force=False)
    check_output(tmp_path / "a" / "b" / "c", force=False)
    assert names(tmp_path) == []


@pytest.fixture
def read_only(tmp_path: Path) -> Iterator[Path]:
    """A folder that cannot be written to: by its mode, or for root, whom modes do not stop, by its mount."""
    folder = tmp_path / "read-only"
    folder.mkdir()
    if os.geteuid():
        folder.chmod(0o555)
        yield folder
    else:
        with mounted(folder, "ro"):
            yield folder


def test_a_folder_that_cannot_be_written_to(read_only: Path) -> None:
    with pytest.raises(OutputError, match="cannot be written"):
        check_output(read_only / "out", force=False)
    with pytest.raises(OutputError, match="cannot be written"), staged(read_only / "out"):
        pass


def test_a_parent_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(OutputError), staged(tmp_path / "file" / "out"):
        pass


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    (tmp_path / "disk").mkdir()
    with mounted(tmp_path / "disk", "size=1m"):
        yield tmp_path / "disk"


def test_a_full_disk_is_an_error_with_a_hint_and_leaves_nothing(small_disk: Path) -> None:
    write(small_disk / "out", "old")
    with pytest.raises(OutputError, match="is full") as caught, staged(small_disk / "out") as folder:
        (folder / "edgeconv.json").write_bytes(bytes(2 << 20))
    assert caught.value.hint
    assert re.search(rf"full: \d\.\d MB are free on the file system {small_disk}\.", str(caught.value))
    assert names(small_disk) == ["out"]
    assert holds(small_disk / "out") == "old"


def test_a_full_disk_is_told_when_a_library_has_an_error_of_its_own(small_disk: Path) -> None:
    with pytest.raises(OutputError, match="is full"), staged(small_disk / "out") as folder:
        with suppress(OSError):
            (folder / "model.bin").write_bytes(bytes(2 << 20))
        raise RuntimeError("basic_ios::clear")


@pytest.mark.parametrize("said", [True, False])
def test_a_limit_on_files_is_no_full_disk(tmp_path: Path, said: bool) -> None:
    """The limit holds in a process of its own; a library of C++ says nothing of the reason (`said`: the system's own error)."""
    program = f"""
        import resource
        from pathlib import Path
        from edgeconv.core.errors import OutputError
        from edgeconv.core.staging import staged
        resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 16, 1 << 16))
        try:
            with staged(Path("out")) as folder:
                try:
                    (folder / "model.bin").write_bytes(bytes(1 << 20))
                except OSError as error:
                    raise error if {said} else RuntimeError("basic_ios::clear")
        except OutputError as error:
            print(error.message)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert "ulimit -f" in done.stdout
    assert names(tmp_path) == []


def test_a_quota_is_no_full_disk(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="quota"), staged(tmp_path / "out"):
        raise OSError(errno.EDQUOT, "Disk quota exceeded")


def test_where_a_disk_is_mounted(small_disk: Path) -> None:
    with pytest.raises(OutputError, match="is mounted") as caught:
        check_output(small_disk, force=False)
    assert "inside" in str(caught.value.hint)


def write_files(target: Path, *contents: str) -> None:
    with staged_files(target) as folder:
        fill_files(folder, target, *contents)


def fill_files(folder: Path, target: Path, *contents: str) -> None:
    files = [f"{target.stem}{number or ''}.gguf" for number in range(len(contents))]
    for file, content in zip(files, contents, strict=True):
        (folder / file).write_text(f"GGUF{content}")
    describe(folder, files, f"{target.stem}.edgeconv.json")


def test_single_files_appear_beside_their_neighbors(tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("mine")
    with staged_files(tmp_path / "x.gguf") as folder:
        (folder / "x.gguf").write_text("GGUF")
        (folder / "x.edgeconv.json").write_text("{}")
        assert folder.parent.parent == tmp_path
        assert not (tmp_path / "x.gguf").exists()
    assert names(tmp_path) == ["letter.txt", "x.edgeconv.json", "x.gguf"]
    write_files(tmp_path / "deep" / "y.gguf", "a", "b")
    assert names(tmp_path / "deep") == ["y.edgeconv.json", "y.gguf", "y1.gguf"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_an_error_leaves_the_old_files_and_nothing_new(tmp_path: Path, error: type[BaseException]) -> None:
    write_files(tmp_path / "x.gguf", "old")
    with pytest.raises(error), staged_files(tmp_path / "x.gguf") as folder:
        (folder / "x.gguf").write_text("GGUFnew")
        raise error
    assert names(tmp_path) == ["x.edgeconv.json", "x.gguf"]
    assert (tmp_path / "x.gguf").read_text() == "GGUFold"


def test_an_error_between_two_renames_brings_the_old_files_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_files(tmp_path / "x.gguf", "old", "old")
    order: list[str] = []
    rename = Path.rename

    def counted(path: Path, target: Path) -> Path:
        order.append(path.name)
        if len(order) == 6:  # journal, three old files, a new one
            raise OSError(5, "stopped")
        return rename(path, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", counted)
        with pytest.raises(OSError, match="stopped"):
            write_files(tmp_path / "x.gguf", "new", "new", "new")
    assert order[1:6] == ["x.edgeconv.json", "x.gguf", "x1.gguf", "x.gguf", "x1.gguf"]
    assert names(tmp_path) == ["x.edgeconv.json", "x.gguf", "x1.gguf"]
    assert (tmp_path / "x.gguf").read_text() == "GGUFold"


def test_files_that_exist_need_force(tmp_path: Path) -> None:
    target = tmp_path / "x.gguf"
    check_files(target, ["x.gguf"], force=False)
    write_files(target, "old")
    with pytest.raises(OutputError, match=r"x\.gguf exists") as caught:
        check_files(target, ["x.gguf"], force=False)
    assert "--force" in str(caught.value.hint)
    check_files(target, ["x.gguf"], force=True)
    target.unlink()
    with pytest.raises(OutputError, match=r"x\.edgeconv\.json exists"):
        check_files(target, ["x.gguf"], force=False)
    check_files(target, ["x-00001-of-00002.gguf"], force=True)


def test_force_replaces_files_of_the_manifest_only(tmp_path: Path) -> None:
    for content in ("three years of notes", "GGUF of somebody else"):
        (tmp_path / "x.gguf").write_text(content)
        with pytest.raises(OutputError, match="no conversion wrote"):
            check_files(tmp_path / "x.gguf", ["x.gguf"], force=True)
    (tmp_path / "x.gguf").unlink()
    (tmp_path / "y").write_text("GGUF")
    (tmp_path / "x.gguf").symlink_to(tmp_path / "y")
    with pytest.raises(OutputError, match="is not a file"):
        check_files(tmp_path / "x.gguf", ["x.gguf"], force=True)
    (tmp_path / "z.gguf").mkdir()
    with pytest.raises(OutputError, match="is not a file"):
        check_files(tmp_path / "z.gguf", ["z.gguf"], force=True)


def test_files_of_a_folder_that_cannot_be_written_to(read_only: Path) -> None:
    with pytest.raises(OutputError, match="cannot be written"):
        check_files(read_only / "x.gguf", ["x.gguf"], force=False)
    with pytest.raises(OutputError, match="cannot be written"), staged_files(read_only / "x.gguf"):
        pass
