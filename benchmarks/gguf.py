"""`edgeconv gguf` beside llama.cpp's two steps (convert_hf_to_gguf.py, then llama-quantize)."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from edgeconv.convert.gguf.read import open_gguf
from edgeconv.convert.gguf.recipe import FILE_TYPES

from .processes import checkpoint, in_turn, sizes, version
from .result import SOURCE, Figure, Result, Target, of_runs
from .setting import Setting

OURS, THEIRS = "edgeconv", "llama.cpp"
FIGURES = ("wall", "cpu", "anonymous", "rss", "read", "written")


def beside_llama_cpp(
    setting: Setting, name: str, source: Path, file_type: str, targets: Mapping[str, Target]
) -> Result:
    """Convert with both, in turn, and compare every tensor."""
    out = setting.work / "gguf-out"
    ours, theirs, between = out / "ours.gguf", out / "theirs.gguf", out / "between.gguf"
    steps = _steps(setting, name, source, file_type, out)

    def clear(side: str) -> None:
        for path in out.glob("ours*" if side == OURS else "theirs*"):
            path.unlink()

    runs = in_turn(steps, setting.pairs, setting.work, clear, lambda side: between.unlink(missing_ok=True))
    same, count = identical(ours, theirs)
    figures = [Figure(SOURCE, "GB", [sizes(source, "*.safetensors")]), *of_runs(runs, targets, FIGURES)]
    figures.append(
        Figure("size of the file", "GB", [ours.stat().st_size / 1e9], [theirs.stat().st_size / 1e9], at_least=0.99)
    )
    shutil.rmtree(out)
    return Result(
        name,
        f"{source.name}, {file_type}",
        f"python -m benchmarks {name} --converter …/convert_hf_to_gguf.py",
        f"llama.cpp (its converter, and its quantizer through {version(sys.executable, 'cyllama')})",
        figures,
        [f"{same} of {count} tensors have the same type and bytes."],
    )


def _steps(setting: Setting, name: str, source: Path, file_type: str, out: Path) -> dict[str, list[list[str]]]:
    """Return the commands of both sides, which write ours.gguf and theirs.gguf (and between.gguf) into an empty folder."""
    if setting.converter is None:
        raise SystemExit(f"{name} needs --converter: convert_hf_to_gguf.py of a llama.cpp checkout")
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    peer = [sys.executable, "-m", "benchmarks.peer_llama_cpp"]
    ours, theirs, between = (str(out / f"{name}.gguf") for name in ("ours", "theirs", "between"))
    return {
        OURS: [[sys.executable, "-m", "edgeconv", "gguf", "-m", str(source), "-t", file_type, "-o", ours, "-q"]],
        THEIRS: [
            [*peer, "convert", str(setting.converter), str(source), between, "--outtype", "bf16"],
            [*peer, "quantize", between, theirs, str(FILE_TYPES[file_type].number)],
        ],
    }


def both(setting: Setting, name: str, source: Path, file_type: str, out: Path) -> tuple[Path, Path]:
    """Convert once with each, and return our file and theirs."""
    steps = _steps(setting, name, source, file_type, out)
    in_turn(steps, 1, setting.work, lambda side: None, lambda side: None)
    (out / "between.gguf").unlink()
    return out / "ours.gguf", out / "theirs.gguf"


def random_weights(setting: Setting, name: str, size: str, file_type: str, targets: Mapping[str, Target]) -> Result:
    """The same on a full-size checkpoint."""
    return beside_llama_cpp(setting, name, checkpoint(setting.work, size), file_type, targets)


def identical(ours: Path, theirs: Path) -> tuple[int, int]:
    """Count the tensors whose type and bytes are the same in both files, and all of theirs."""
    a, b = open_gguf(ours), open_gguf(theirs)
    same = [
        name for name in b.tensors
        if name in a.tensors and a.tensors[name].type == b.tensors[name].type
        and np.array_equal(a.data(name), b.data(name))
    ]  # fmt: skip
    return len(same), len(b.tensors)
