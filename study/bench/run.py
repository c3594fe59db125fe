"""Measure an artifact, and then its reference, each in a process of its own."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ...core import errors
from ...core.errors import EdgeconvError, UsageError
from ...core.progress import Progress, Silent
from ...validate.formats import Artifact, open_artifact
from ...validate.target import reference_of
from .formats import BENCHES
from .model import Result, Row, Side, Task, Timing

TASKS = (Task(1024, 128), Task(512, 128))
"""Those of the tables that GLM-Edge's makers publish."""
RUNS = 3


@dataclass(frozen=True)
class Ask:
    """What a user asks.

    Attributes:
        artifact: a folder of IRs or of ONNX models, a .gguf, or a folder with one.
        reference: the checkpoint, a folder or a Hub id; None: the one that the manifest names.
        with_reference: measure the reference too.
        tasks: each with tokens to read and to make.
        image: a picture to ask about, for vision-language models.
        runs: of every task; the median counts.
        device: OpenVINO's name.
        threads: of the computation; None: one per core.
        attention: the attention backend of openvino_genai, "PA" (paged) or "SDPA"; None: the one that it chooses.
    """

    artifact: Path
    reference: str | None = None
    with_reference: bool = True
    tasks: tuple[Task, ...] = TASKS
    image: Path | None = None
    runs: int = RUNS
    device: str = "CPU"
    threads: int | None = None
    attention: str | None = None


def bench(ask: Ask, progress: Progress | None = None) -> Result:
    """Measure.

    Raises:
        ArtifactError: there is no converted model, or its runtime does not load it.
        UsageError: a device that is not there, a picture for a model that takes none, a task longer than the context, or a
            reference that was named and is not there.
    """
    progress = progress or Silent()
    artifact = open_artifact(ask.artifact)
    artifact.require_device(ask.device)
    BENCHES[artifact.format].check_device(ask.device)
    _check(ask, artifact)
    notes: list[str] = []
    source = _reference(ask, artifact, notes, progress)
    task = progress.task("Measuring the artifact", 2 if source else 1)
    ours = _side(ask, BENCHES[artifact.format].kind(artifact), artifact.path, artifact.mode, ask.device)
    task.advance(1)
    theirs = _side(ask, "torch", source, "bf16", "CPU") if source else None
    task.finish()
    return Result(ours, theirs, _machine(ask), notes)


def _check(ask: Ask, artifact: Artifact) -> None:
    """Refuse before anything is loaded what would fail in the middle."""
    if ask.image is not None:
        from ...core.picture_file import open_picture

        if not (BENCHES[artifact.format].takes_images and artifact.takes_images):
            raise UsageError(f"{ask.artifact} takes no pictures here.", "OpenVINO and ONNX vision-language models do.")
        open_picture(ask.image)
    limit = BENCHES[artifact.format].positions(artifact)
    longest = max((task.read + task.made for task in ask.tasks), default=0)
    if limit and longest > limit:
        raise UsageError(f"A task takes {longest} tokens; the model reads {limit}.", "Say shorter ones with --task.")


def _reference(ask: Ask, artifact: Artifact, notes: list[str], progress: Progress) -> Path | None:
    """Find the checkpoint. That which the manifest names may be gone; then only the artifact is measured."""
    from ...hub.fetch import fetch
    from ...hub.source import parse

    if not ask.with_reference:
        return None
    try:
        source, revision = reference_of(artifact.path, artifact.manifest, ask.reference)
        return fetch(parse(source, revision), progress=progress).path
    except EdgeconvError as error:
        if ask.reference is not None:
            raise
        notes.append(f"The reference was not measured: {error.message}")
        return None


def _side(ask: Ask, kind: str, path: Path, stored_as: str, device: str) -> Side:
    tasks = list(ask.tasks)
    if ask.image is not None:
        tasks.append(Task(1, max(task.made for task in ask.tasks), picture=True))
    given = {
        "kind": kind,
        "path": str(path.absolute()),
        "stored_as": stored_as,
        "device": device,
        "threads": ask.threads,
        "attention": ask.attention,
        "tasks": [asdict(task) for task in tasks],
        "image": str(ask.image.absolute()) if ask.image else None,
        "runs": ask.runs,
    }
    answer = _child(given, path)
    rows = [Row(**{**row, "runs": [Timing(**run) for run in row["runs"]]}) for row in answer.pop("rows")]
    return Side(**answer, rows=rows)


def _child(given: dict[str, Any], path: Path) -> dict[str, Any]:
    command = [sys.executable, "-P", "-m", f"{__package__}.child"]  # -P: nothing is imported from where one stands
    environment = {
        **os.environ,
        "HF_HUB_OFFLINE": "1",
        "TRANSFORMERS_VERBOSITY": "error",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    }
    done = subprocess.run(
        command, input=json.dumps(given), capture_output=True, text=True, errors="replace", check=False, env=environment
    )
    try:
        answer: dict[str, Any] = json.loads(done.stdout)
    except ValueError as error:
        said = [line.strip() for line in done.stderr.splitlines() if line.strip()][-1:] or ["it said nothing"]
        how = f"was killed by signal {-done.returncode}" if done.returncode < 0 else f"ended with {done.returncode}"
        raise errors.ArtifactError(
            f"The process that ran {path} {how}: {said[0]}", "Is there enough memory for the model?"
        ) from error
    if "error" in answer:
        kind: type[EdgeconvError] = getattr(errors, str(answer["error"]))
        raise kind(answer["message"], answer["hint"])
    return answer


def _machine(ask: Ask) -> dict[str, str]:
    threads = ask.threads or len(os.sched_getaffinity(0))
    return {"processor": _processor(), "threads": str(threads), "system": platform.platform()}


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    names: Sequence[str] = info.read_text().splitlines() if info.is_file() else ()
    return next((line.split(":", 1)[1].strip() for line in names if line.startswith("model name")), platform.machine())
