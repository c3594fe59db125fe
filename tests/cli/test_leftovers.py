"""Every command, as a process of its own: afterwards TMPDIR is as empty as it was, whatever libraries were imported."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer.main

from edgeconv.builtin import model_path
from edgeconv.cli.app import app

from ..kill.commands import TEXT

RECIPE = "recipe: 1\nname: r\nsource: {model: SOURCE}\ntargets: {t: {format: gguf, type: q8_0, parity: false}}\n"
MEASURED = ("--suite", "texts.txt", "--tokens", "256")
LINES: dict[str, tuple[str, ...]] = {
    "openvino": ("--model", "SOURCE", "-p", "int8", "--engine", "trace", "-o", "traced"),
    "gguf": ("--model", "SOURCE", "-o", "x.gguf"),
    "onnx": ("--model", "SOURCE", "-p", "int8", "-o", "onnx"),
    "validate": ("ov", "--quick", "--suite", "texts.txt", "--max-tokens", "200", "--no-report"),
    "sensitivity": ("SOURCE", *MEASURED, "--precision", "int8"),
    "frontier": ("SOURCE", "--points", "q8_0", *MEASURED),
    "search": ("SOURCE", "--max-kl", "5", "--trials", "1", "--format", "openvino", *MEASURED),
    "run": ("r.yaml", "--output", "out"),
    "publish": ("ov", "--repo", "org/name", "--dry-run", "--allow-unvalidated"),
    "verify": ("ov",),
    "diff": ("ov", "ov"),
    "inspect": ("ov",),
    "chat": ("ov", "--prompt", "x", "--max-new-tokens", "2"),
    "bench": ("ov", "--no-reference", "--runs", "1", "--task", "16/4"),
    "demo": (),
    "doctor": ("--model", "SOURCE"),
    "recipes": ("validate", "r.yaml"),
    "cache": ("ls",),
}
"""What each command is given."""


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with a recipe, texts and an artifact."""
    root = tmp_path_factory.mktemp("leftovers")
    (root / "texts.txt").write_text("\n\n".join(f"{number}. {TEXT}" for number in range(12)))
    (root / "r.yaml").write_text(RECIPE.replace("SOURCE", json.dumps(str(model_path()))))
    assert edgeconv(root, "openvino", "--model", str(model_path()), "-p", "int8", "-o", "ov").returncode == 0
    yield root


def edgeconv(root: Path, *line: str) -> subprocess.CompletedProcess[str]:
    (root / "tmp").mkdir(exist_ok=True)
    variables = {
        **{name: value for name, value in os.environ.items() if not name.startswith(("HF_", "TORCHINDUCTOR"))},
        "TMPDIR": str(root / "tmp"), "EDGECONV_CACHE": str(root / "cache"), "HF_HOME": str(root / "hf"),
        "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1",
    }  # fmt: skip
    command = [sys.executable, "-P", "-m", "edgeconv", *line]
    return subprocess.run(
        command, cwd=root, env=variables, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )


def test_every_command_has_a_line() -> None:
    assert set(LINES) == set(typer.main.get_command(app).commands)  # type: ignore[attr-defined]


@pytest.mark.slow
@pytest.mark.parametrize("name", LINES)
def test_nothing_stays_in_tmpdir(name: str, work: Path) -> None:
    done = edgeconv(work, name, *(str(model_path()) if part == "SOURCE" else part for part in LINES[name]))
    assert [str(path.relative_to(work)) for path in (work / "tmp").rglob("*")] == []
    assert done.returncode in ((4, 5) if name == "publish" else (0, 3, 6)), done.stderr  # there is no Hub here
