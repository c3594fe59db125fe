"""Every bad input through the real command: one message, its hint and exit code, nothing left behind, source untouched."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from ..bad.checkpoints import FAULTS


def edgeconv(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "NO_COLOR": "1", "COLUMNS": "400"}
    return subprocess.run(
        [sys.executable, "-m", "edgeconv", *arguments],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def snapshot(folder: Path) -> dict[str, str]:
    return {
        str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest() for p in folder.rglob("*") if p.is_file()
    }


@pytest.mark.parametrize("name", FAULTS)
def test_fault(name: str, tiny_model: Callable[..., Path], tmp_path: Path) -> None:
    maker, says = FAULTS[name]
    source = shutil.copytree(tiny_model("llama", max_shard_size="300KB"), tmp_path / "model")
    maker(source)
    before = snapshot(source)
    work = tmp_path / "work"
    work.mkdir()
    done = edgeconv("openvino", "--model", str(source), "--precision", "int8", "--output", "out", cwd=work)
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr
    assert len(re.findall(r"^error: ", done.stderr, re.M)) == 1
    assert re.search(says, done.stderr), done.stderr
    assert done.stdout == ""
    assert list(work.iterdir()) == []
    assert snapshot(source) == before


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["--model", "nowhere/at/all/x"], 2, "nowhere"),
        (["--model", "./absent"], 1, "absent"),
        (["--model", "MODEL", "--group-size", "48"], 2, "does not divide rows of 64, 128"),
        (["--model", "MODEL", "--precision", "int8", "--ratio", "0.5"], 2, "--ratio cannot be used with int8_asym"),
        (["--model", "MODEL", "--precision", "int5"], 2, "int5"),
        (["--model", "MODEL", "--rope", "fused"], 2, "changes nothing"),
        (["--model", "MODEL", "--engine", "magic"], 2, "magic"),
    ],
    ids=lambda v: " ".join(v) if isinstance(v, list) else "",
)
def test_bad_options(
    arguments: list[str], code: int, says: str, tiny_model: Callable[..., Path], tmp_path: Path
) -> None:
    model = str(tiny_model("llama"))
    done = edgeconv("openvino", *[model if a == "MODEL" else a for a in arguments], cwd=tmp_path)
    assert done.returncode == code, done.stderr
    assert says in done.stderr
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_output_that_exists_needs_force(tiny_model: Callable[..., Path], tmp_path: Path) -> None:
    model = str(tiny_model("llama"))
    command = ("openvino", "--model", model, "--precision", "int8", "--output", "out")
    assert edgeconv(*command, cwd=tmp_path).returncode == 0
    first = snapshot(tmp_path / "out")
    done = edgeconv(*command, cwd=tmp_path)
    assert done.returncode == 1
    assert "--force" in done.stderr
    assert snapshot(tmp_path / "out") == first
    assert edgeconv(*command, "--force", cwd=tmp_path).returncode == 0
    assert [p.name for p in tmp_path.iterdir()] == ["out"]


def test_force_never_replaces_what_no_conversion_wrote(tiny_model: Callable[..., Path], tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.txt").write_text("years of work")
    done = edgeconv("openvino", "--model", str(tiny_model("llama")), "--output", "out", "--force", cwd=tmp_path)
    assert done.returncode == 1
    assert (tmp_path / "out" / "thesis.txt").read_text() == "years of work"


def test_a_byte_order_mark_is_tolerated(tiny_model: Callable[..., Path], tmp_path: Path) -> None:
    source = shutil.copytree(tiny_model("llama"), tmp_path / "model")
    config = source / "config.json"
    config.write_bytes(b"\xef\xbb\xbf" + config.read_bytes())
    done = edgeconv("openvino", "--model", str(source), "--precision", "int8", "--dry-run", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
