"""Whatever else lies in and around an output survives, byte by byte, whatever a run does and wherever it is killed."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edgeconv.core import in_place
from edgeconv.core.errors import OutputError
from edgeconv.core.manifest import LOG_NAME, MANIFEST_NAME, read_manifest
from edgeconv.core.staging import check_files, check_output, staged, staged_files

from .artifacts import digest, sample

Tree = dict[str, bytes | None]
"""Name below a folder → what a file holds; None: an empty folder; names that begin with `->` are links."""
OLD = {"config.json": b"old", "openvino_model.bin": b"old weights", "extra/one.jinja": b"old", "gone.txt": b"old"}
NEW = {"config.json": b"new", "openvino_model.bin": b"new weights", "extra/two.jinja": b"new"}
REPORT = b'{"report": 1, "verdict": "passed", "artefact": {}, "reference": {}, "rungs": [], "budgets": []}'
OLD_FILES, NEW_FILES = {"x.gguf": b"GGUFold", "x-2.gguf": b"GGUFold"}, {"x.gguf": b"GGUFnew", "x-3.gguf": b"GGUFnew"}

_PART = st.sampled_from(
    [
        ".git", "HEAD", "README.md", "notes", "lab.txt", "figures", "reference", "parity", "parity.json", "extra", "one.jinja",
        "two.jinja", "config.json", "tokenizer.json", "model.onnx", "模型", "a b", "-f", "new", "old", ".pid", "gone.txt",
        ".edgeconv-scratch", "out.partial-results", "out.partial-0123456789abcdef", "x.gguf.partial-results", "y.gguf",
        "x.edgeconv.log.json", "x-3.gguf", "out.partial-", ".partial-results",
    ]
)  # fmt: skip
_NAMES = st.lists(_PART, min_size=1, max_size=3).map("/".join)
_CONTENT = st.one_of(st.none(), st.sampled_from([b"", b"mine", b"GGUF of mine", b"{}", b'{"edgeconv": 1}', REPORT]))
TREES = st.dictionaries(_NAMES, _CONTENT, max_size=8)


def plant(folder: Path, tree: Tree) -> None:
    """Make a tree; names that cannot be, because a file is where a folder would have to be, are left out."""
    for name, content in tree.items():
        path = folder / name
        if any(parent.is_file() or parent.is_symlink() for parent in path.parents) or os.path.lexists(path):
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        if content is None:
            path.mkdir()
        elif content == b"{}":
            path.symlink_to("somewhere/else")
        else:
            path.write_bytes(content)


def seen(folder: Path) -> dict[str, Any]:
    """Describe everything below a folder."""
    found: dict[str, Any] = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_symlink():
            found[name] = ("link", str(path.readlink()))
        else:
            found[name] = "folder" if path.is_dir() else path.read_bytes()
    return found


def write_artifact(folder: Path, files: dict[str, bytes], manifest: str = MANIFEST_NAME) -> None:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    outputs = {name: digest(folder / name) for name in files}
    sample().model_copy(update={"outputs": outputs}).write(folder, manifest)
    (folder / manifest.replace(MANIFEST_NAME, LOG_NAME)).write_text("{}")


def whole(folder: Path, manifest: str = MANIFEST_NAME) -> bytes:
    """Return "old" or "new"; the artifact must be whole."""
    outputs = read_manifest(folder / manifest).outputs
    assert {name: digest(folder / name) for name in outputs} == outputs
    return (folder / next(iter(outputs))).read_bytes()[-3:]


class Folder:
    """An output that is a folder."""

    target = "out"
    old_names = frozenset({*OLD, MANIFEST_NAME, LOG_NAME, "extra"})

    def write_old(self, root: Path) -> None:
        write_artifact(root / "out", OLD)

    def convert(self, root: Path, *, force: bool) -> None:
        check_output(root / "out", force=force)
        with staged(root / "out", force=force) as folder:
            write_artifact(folder, NEW)

    def holds(self, root: Path) -> bytes | None:
        return whole(root / "out") if (root / "out").exists() else None

    def ours(self, root: Path, name: str, before: Any) -> bool:
        """Whether what lay under a name before may be gone or changed."""
        inner = name.removeprefix("out/")
        report = inner.startswith("parity/parity.") and before == REPORT
        return name == "out" or (inner != name and (inner in self.old_names or report or inner == "parity"))


class Files:
    """An output that is a file, with others beside it."""

    target = "x.gguf"
    manifest = "x.edgeconv.json"
    old_names = frozenset({*OLD_FILES, "x.edgeconv.json", "x.edgeconv.log.json"})

    def write_old(self, root: Path) -> None:
        write_artifact(root, OLD_FILES, self.manifest)

    def convert(self, root: Path, *, force: bool) -> None:
        check_files(root / "x.gguf", NEW_FILES, force=force)
        with staged_files(root / "x.gguf", force=force) as folder:
            write_artifact(folder, NEW_FILES, self.manifest)

    def holds(self, root: Path) -> bytes | None:
        return whole(root, self.manifest) if (root / self.manifest).exists() else None

    def ours(self, root: Path, name: str, before: Any) -> bool:
        return name in self.old_names


KINDS = (Folder(), Files())


@contextmanager
def place() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as made:
        yield Path(made)


def foreign(kind: Any, root: Path, found: dict[str, Any], *, had_old: bool) -> dict[str, Any]:
    return {name: what for name, what in found.items() if not (had_old and kind.ours(root, name, what))}


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.target)
@settings(max_examples=80, deadline=None, suppress_health_check=list(HealthCheck))
@given(around=TREES, inside=TREES, old=st.booleans(), force=st.booleans())
def test_foreign_files_survive(kind: Any, around: Tree, inside: Tree, old: bool, force: bool) -> None:
    with place() as root:
        if old:
            kind.write_old(root)
        plant(root, around)
        plant(root / "out", inside)
        before = seen(root)
        try:
            kind.convert(root, force=force)
        except OutputError as error:
            assert error.hint
            assert seen(root) == before  # refused: nothing has changed at all
            return
        after = seen(root)
        mine = foreign(kind, root, before, had_old=old)
        if kind.target == "out" and not old:
            mine.pop("out", None)  # an empty folder that was named as the output
        assert {name: after.get(name) for name in mine} == mine
        assert kind.holds(root) == b"new"


def in_child(body: Callable[[], None], number: int, root: Path, *, exchange: bool) -> bool:
    """Run in a forked process that dies just before its n-th change below a folder; False if it ended first."""
    child = os.fork()
    if child:
        _, status = os.waitpid(child, 0)
        code = os.waitstatus_to_exitcode(status)
        assert code in (0, 9), code
        return code == 9
    try:
        count = 0
        changes = ("os.rename", "os.remove", "os.rmdir", "os.mkdir", "shutil.rmtree", "os.link", "os.symlink")

        def step(event: str, arguments: tuple[Any, ...]) -> None:
            nonlocal count
            if event == "open" and isinstance(arguments[2], int) and not arguments[2] & (os.O_WRONLY | os.O_RDWR):
                return
            if event in (*changes, "open"):
                count += 1
                if count == number:
                    os._exit(9)

        swap = in_place._exchange

        def watched(staged: Path, target: Path) -> bool:
            if not exchange:
                return False
            step("os.rename", ())
            done = swap(staged, target)
            step("os.rename", ())
            return done

        in_place._exchange = watched  # type: ignore[assignment]
        sys.addaudithook(step)
        body()
    except BaseException:  # noqa: BLE001 - the test's parent reads the code
        os._exit(1)
    os._exit(0)


INSIDE: Tree = {
    ".git/HEAD": b"mine",
    "README.md": b"mine",
    "extra/mine.txt": b"mine",
    "notes/lab.txt": b"mine",
    "empty": None,
}
AROUND: Tree = {
    "out.partial-results/a.csv": b"mine",
    "x.gguf.partial-results/a.csv": b"mine",
    "y.gguf": b"GGUF of mine",
}


@pytest.mark.parametrize("exchange", [True, False])
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.target)
def test_killed_at_every_change_of_the_disk(kind: Any, exchange: bool, tmp_path: Path) -> None:
    """After the kill and the next run, old or new is there, whole, and all that is foreign; often the kill alone leaves it so."""
    number, struck, at_once = 0, True, 0
    while struck:
        number += 1
        root = tmp_path / str(number)
        kind.write_old(root)
        plant(root, AROUND)
        plant(root / "out", INSIDE)
        before = foreign(kind, root, seen(root), had_old=True)
        struck = in_child(lambda root=root: kind.convert(root, force=True), number, root, exchange=exchange)  # type: ignore[misc]
        try:
            after = seen(root)
            at_once += kind.holds(root) in (b"old", b"new") and {name: after.get(name) for name in before} == before
        except (AssertionError, OSError):
            pass  # counted below: the next run must mend it
        with pytest.raises(KeyboardInterrupt), staging(kind, root):
            raise KeyboardInterrupt
        after = seen(root)
        assert kind.holds(root) == (b"old" if struck and kind.holds(root) == b"old" else b"new")
        assert {name: after.get(name) for name in before} == before, number
        assert not [name for name in after if ".partial-" in name and "results" not in name]
        kind.convert(root, force=True)
        after = seen(root)
        assert kind.holds(root) == b"new"
        assert {name: after.get(name) for name in before} == before, number
        shutil.rmtree(root)
    assert number > 15
    assert at_once >= number // 2


def staging(kind: Any, root: Path) -> Any:
    return (staged if kind.target == "out" else staged_files)(root / kind.target, force=True)
