"""The long run: `make large`, which hands this file to pytest. Tensors of 4 GB, converted within a GiB of memory."""

import os
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ..reliability import record
from .commands import environment
from .test_odd import of_layers, write_shard

LIMIT = 1 << 30
"""Bytes that a process may have of its own (RLIMIT_DATA; mapped files do not count)."""
LINES = {
    "openvino": ("openvino", "-p", "int8", "-o", "out"),
    "gguf": ("gguf", "-t", "q8_0", "-o", "out"),
    "onnx": ("onnx", "-p", "int8", "-o", "out"),
}
_figures: dict[str, dict[str, Any]] = {}


@pytest.mark.parametrize("command", LINES)
def test_tensors_of_four_gigabytes(command: str, tiny_model: Callable[..., Path], tmp_path: Path) -> None:
    source = shutil.copytree(tiny_model("llama"), tmp_path / "model")
    write_shard(source / "model.safetensors", of_layers(source, 1, 4096, 1 << 19), sparse=True)
    work = tmp_path / "work"
    work.mkdir()
    (tmp_path / "tmp").mkdir()
    begun = time.monotonic()
    _edgeconv(work, tmp_path, *LINES[command], "-m", str(source), "-q")
    _edgeconv(work, tmp_path, "verify", "out")
    written = sum(path.stat().st_size for path in (work / "out").rglob("*") if path.is_file())
    assert written > 4 << 30
    shutil.rmtree(work)
    _figures[command] = {
        "MB in": (source / "model.safetensors").stat().st_size // 10**6,
        "MB out": written // 10**6,
        "seconds": round(time.monotonic() - begun),
    }
    record("large", {"limit": LIMIT, "commands": _figures})


def _edgeconv(work: Path, root: Path, *arguments: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "edgeconv", *arguments],
        cwd=work,
        env={**os.environ, **environment(root)},
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_DATA, (LIMIT, LIMIT)),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
