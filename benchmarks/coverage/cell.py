"""One checkpoint, one tool, one format, in a process of its own: convert, run, compare. Prints an `Outcome` as JSON.

python -m benchmarks.coverage.cell TOOL FORMAT CHECKPOINT OUT [CONVERTER]
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from edgeconv.convert.program.gguf_spec import GELU_BUDGETS
from edgeconv.core.progress import Silent
from edgeconv.validate.budget import limit
from edgeconv.validate.formats import open_artifact

from ..processes import ROOT
from . import encoder
from .checkpoint import POSITIONS, REFERENCE

Kind = Literal["right", "wrong", "refused", "crashed", "not run"]
Command = list[str]
LIMIT = 1e-3
"""What logits may differ by in float32, at any position."""
CHUNKS: tuple[int | None, ...] = (None, 34, 1)
"""Positions at once: all; in chunks, so that most begin behind a window; one."""
OURS = {
    "openvino": ("-p", "fp32"),
    "gguf": ("--type", "f32"),
    "onnx": ("-p", "fp32"),
}
"""Format → what asks for float32."""


@dataclass(frozen=True)
class Outcome:
    """What became of a cell.

    Attributes:
        kind: converted and right, converted and another model, refused, ended otherwise, or made and not loaded by the runtime.
        worst: largest difference of a logit, over all positions and ways to cut the text.
        allowed: what it may be.
        reach: of so many positions, if the file states that it is good for fewer.
        said: why not, in the tool's own words.
        engine: of ours, which engine made it.
    """

    kind: Kind
    worst: float | None = None
    allowed: float | None = None
    reach: int | None = None
    said: str = ""
    engine: str = ""


def main() -> None:
    tool, form, source, out = sys.argv[1:5]
    converter = sys.argv[5] if len(sys.argv) > 5 else ""
    found = outcome(tool, form, Path(source), Path(out), converter)
    said = found.said.replace(f"{out}/", "").replace(f"{source}/", "").replace(source, "the checkpoint")
    print(json.dumps(asdict(replace(found, said=said))))


def outcome(tool: str, form: str, source: Path, out: Path, converter: str) -> Outcome:
    """Convert and compare."""
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    made = out / ("x.gguf" if form == "gguf" else "x")
    done = subprocess.run(
        command(tool, form, source, made, converter), cwd=ROOT, capture_output=True, text=True, check=False
    )
    if done.returncode or not made.exists():
        return failed(tool, done)
    try:
        return compared(made, form, source)
    except Exception as error:  # noqa: BLE001 - a file may be one that its runtime does not know, which is an outcome
        return Outcome("not run", said=f"{type(error).__name__}: {error}"[:300])


def compared(made: Path, form: str, source: Path) -> Outcome:
    """Run what was made."""
    artifact = open_artifact(made)
    allowed = LIMIT
    if form == "gguf":  # llama.cpp computes GELU from a table of float16 values, whichever tool wrote the file
        config = json.loads((source / "config.json").read_text("utf-8"))
        gelu = "gelu" in str(config.get("hidden_activation") or config.get("hidden_act"))
        allowed = max(limit(artifact.graph, "conversion"), GELU_BUDGETS["conversion"][0] if gelu else 0)
    reach = min(artifact.context or POSITIONS, POSITIONS)
    if encoder.task(source):
        worst = encoder.worst_difference(artifact, source / REFERENCE)
        return Outcome("right" if worst < allowed else "wrong", worst, allowed)
    worst = worst_difference(artifact.runtime("CPU", Silent(), accurate=True), source, reach)
    engine = (artifact.manifest.engine or "") if artifact.manifest else ""
    return Outcome(
        "right" if worst < allowed else "wrong", worst, allowed, reach if reach < POSITIONS else None, engine=engine
    )


def worst_difference(runtime: Any, source: Path, reach: int) -> float:
    """Compare logits at the first `reach` positions, whichever way the text is cut."""
    known = np.load(source / REFERENCE)
    ids, wanted = known["ids"].tolist()[:reach], known["logits"][:reach]
    worst = 0.0
    for chunk in CHUNKS:
        found = np.concatenate([part.copy() for part in runtime.logits(ids, chunk)])[:, : wanted.shape[1]]
        worst = max(worst, float(np.abs(found - wanted).max()) if np.isfinite(found).all() else np.inf)
    return worst


def command(tool: str, form: str, source: Path, out: Path, converter: str) -> Command:
    """Return what converts."""
    if tool == "edgeconv":
        line = [
            sys.executable,
            "-m",
            "edgeconv",
            form,
            "--model",
            str(source),
            *OURS[form],
            "--output",
            str(out),
            "--json",
        ]
        return [*line, "--quiet"]
    if tool == "optimum-cli":
        script = str(ROOT / "benchmarks" / "peer_optimum.py")
        task = ("--task", encoder.task(source) or "text-generation-with-past", "--weight-format", "fp32")
        return [sys.executable, script, "export", "openvino", "--model", str(source), *task, str(out)]
    step = [sys.executable, "-m", "benchmarks.peer_llama_cpp", "convert", converter, str(source), str(out)]
    return [*step, "--outtype", "f32"]


def failed(tool: str, done: subprocess.CompletedProcess[str]) -> Outcome:
    """Tell a refusal, which says why, from a crash."""
    if tool == "edgeconv":
        try:
            error = json.loads(done.stderr.splitlines()[-1])["error"]
        except (IndexError, ValueError, KeyError):
            return Outcome("crashed", said=done.stderr[-300:])
        kind: Kind = "crashed" if error["message"].startswith("Unexpected") else "refused"
        return Outcome(kind, said=error["message"])
    said = [line for line in done.stderr.splitlines() if line.strip()]
    return Outcome("refused", said=said[-1][:300] if said else f"it ended with {done.returncode}")


if __name__ == "__main__":
    main()
