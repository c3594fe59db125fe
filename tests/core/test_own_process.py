"""What falls over in a process of its own is told by its own sentence, and takes nobody with it."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgeconv.core import own_process

PROGRAMS = {
    "print('one'); print(sys.argv[1])": None,
    "sys.exit(3)": "it ended with 3",
    "print('a'); print('No such layer.\\n', file=sys.stderr); sys.exit(1)": "No such layer",
    "print('x.c:12: GGML_ASSERT(n > 0) failed\\nlater', file=sys.stderr); sys.exit(1)": "x.c:12: GGML_ASSERT(n > 0) failed",
    "print('GGML_ASSERT(n)', file=sys.stderr, flush=True); os.abort()": "it ended by SIGABRT: GGML_ASSERT(n)",
    "os.kill(os.getpid(), 9)": "it ended by SIGKILL",
}


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A program's name; tests write it."""
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    return "falls_over"


@pytest.mark.parametrize("program", PROGRAMS)
def test_what_it_said(program: str, module: str, tmp_path: Path) -> None:
    (tmp_path / f"{module}.py").write_text(f"import os, sys\n{program}\n")
    said = PROGRAMS[program]
    if said is None:
        assert own_process.run(module, tmp_path, seconds=60) == f"one\n{tmp_path}\n"
        return
    with pytest.raises(own_process.FallenError) as fallen:
        own_process.run(module, seconds=60)
    assert str(fallen.value) == said


def test_one_that_hangs(module: str, tmp_path: Path) -> None:
    (tmp_path / f"{module}.py").write_text("import time\ntime.sleep(60)\n")
    with pytest.raises(own_process.HangingError, match=r"it made no token in 0\.01 minutes"):
        own_process.run(module, seconds=0.6)


def test_nothing_is_imported_from_where_one_stands(
    module: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = tmp_path / "here"
    here.mkdir()
    (here / "json.py").write_text("raise SystemExit('foreign code ran')")
    (tmp_path / f"{module}.py").write_text("import json\nprint(json.dumps(1))\n")
    monkeypatch.chdir(here)
    assert own_process.run(module, seconds=60) == "1\n"
