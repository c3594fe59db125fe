"""No file and no answer decides on our memory or our time."""

import os
import re
from pathlib import Path

import pytest

import edgeconv
from edgeconv.core import limits
from edgeconv.core.errors import CheckpointError, UsageError

ROOT = Path(edgeconv.__file__).parent
OURS = {
    "builtin": "what trains the built-in models reads its own files",
    "benchmarks": "no part of the program",
    "cli/reference.py": "documentation that is compared with the program",
    "cli/verbs.py": "likewise",
    "core/schema_file.py": "likewise",
    "core/cache_folder.py": "markers that edgeconv writes",
    "core/sealed.py": "likewise",
    "core/lease.py": "likewise, and /proc",
    "core/in_place.py": "a journal that edgeconv writes",
    "core/chat_template.py": "/proc",
    "core/mapped_pages.py": "/proc",
    "core/worker_child.py": "/proc",
    "hub/sealed.py": "files of an artifact of ours, which are sent",
    "convert/conversion/smoke.py": "/proc and cgroups",
    "study/doctor.py": "/proc",
    "study/bench": "/proc, and what our own child wrote",
    "validate/report/html": "templates of the package",
    "runtimes/llama_cpp_vision.py": "what our own child wrote",
    "runtimes/llama_cpp_vision_process.py": "likewise",
    "validate/cache.py": "entries of our own cache",
    "core/kept.py": "likewise",
    "convert/claims/native.py": "modules of transformers",
    "convert/openvino/trace_write.py": "an IR that this run wrote",
    "convert/openvino/ir_file.py": "likewise",
    "publish/card_usage.py": "a snippet for others",
    "convert/gguf/pretokenizer_digests.py": "a table of the package",
}
"""Files and folders that may read whole files without a limit, and why."""
WHOLE = re.compile(r"\.read_text\(|\.read_bytes\(|json\.load\(|\.read\(\)|\.readlines\(")


def test_nothing_of_a_strangers_is_read_without_a_limit() -> None:
    found = []
    for path in sorted(ROOT.rglob("*.py")):
        name = path.relative_to(ROOT).as_posix()
        if name.startswith((".", "tests/")) or name == "core/limits.py":
            continue
        if any(name == own or name.startswith(own + "/") for own in OURS):
            continue
        for number, line in enumerate(path.read_text("utf-8").splitlines(), 1):
            if WHOLE.search(line) and not re.search(r"limits\.read_|_log\.read\(\)", line):
                found.append(f"{name}:{number}: {line.strip()}")
    assert found == []


def test_a_file_of_the_limit_is_read_and_one_byte_more_is_not(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"12345")
    assert limits.read_bytes(tmp_path / "x", 5) == b"12345"
    with pytest.raises(UsageError, match="x has 5 bytes"):
        limits.read_bytes(tmp_path / "x", 4, UsageError)


def test_a_sparse_file_costs_no_more_than_its_limit(tmp_path: Path) -> None:
    with (tmp_path / "x").open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(CheckpointError, match="which no such file needs"):
        limits.read_text(tmp_path / "x", limits.TEMPLATE)


@pytest.mark.parametrize("what", ["pipe", "device", "folder"])
def test_no_regular_file(what: str, tmp_path: Path) -> None:
    path = {"pipe": tmp_path / "p", "device": Path("/dev/zero"), "folder": tmp_path}[what]
    if what == "pipe":
        os.mkfifo(path)
    with pytest.raises(CheckpointError, match="not a regular file"):
        limits.read_bytes(path, 10)


def test_ends_of_lines_are_pythons(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"\xef\xbb\xbfa\r\nb\rc\n")
    assert (
        limits.read_text(tmp_path / "x", 99, encoding="utf-8-sig")
        == "a\nb\nc\n"
        == (tmp_path / "x").read_text("utf-8-sig")
    )


def test_an_answer_is_counted_and_timed_as_it_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    assert limits.gather(iter([b"ab", b"c"]), 3, 9) == b"abc"
    with pytest.raises(ValueError, match="more than 3 bytes"):
        limits.gather((b"x" for _ in range(10**9)), 3, 9)
    clock = iter(range(0, 10_000, 4))
    monkeypatch.setattr(limits.time, "monotonic", lambda: float(next(clock)))
    with pytest.raises(ValueError, match="within 120 seconds"):
        limits.gather((b"x" for _ in range(10**9)), 10**9, 120.0)
