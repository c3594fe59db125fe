"""The vision part of a GGUF, in llama.cpp: pictures shown to a language model and its mmproj, in another process."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ..core.cache_folder import part
from ..core.errors import ArtifactError
from ..core.progress import Progress
from ..core.scratch import scratch
from .llama_cpp_binding import binding
from .llama_cpp_vision_process import JOB, SEEN

Array = npt.NDArray[Any]
_TELLING = ("ASSERT", "fatal", "GGML_ABORT", "unable to find", "mismatch", "does not load")
"""Words of the lines that say why llama.cpp ended."""


@dataclass(frozen=True)
class View:
    """A picture to show.

    Attributes:
        source: uint8 [height, width, 3], or a picture's file that llama.cpp is to decode itself.
        text: the prompt, with the marker in the picture's place; None: the rows alone are wanted.
        follow: the answer to read instead of choosing greedily.
        further: pictures behind the first.
        special: the file's own tokens are put around the prompt, where it asks for them.
    """

    source: Array | Path
    text: str | None = None
    follow: tuple[int, ...] | None = None
    further: tuple[Array | Path, ...] = ()
    special: bool = True


@dataclass(frozen=True)
class VisionOutput:
    """What came of a view.

    Attributes:
        rows: float32 [rows, hidden].
        chunks: of the prompt (`llama_cpp_vision_process.chunk_list`).
        made: the answer.
        logits: float32 [n + 1, vocab] before each token of it and behind the last; None without a prompt.
    """

    rows: Array
    chunks: list[dict[str, Any]]
    made: list[int]
    logits: Array | None


@dataclass(frozen=True)
class VisionRuntime:
    """A language model and its projector, and how they are run.

    Attributes:
        model: the language model; of a split one the first part.
        projector: the vision part.
        hidden: width of a row.
        accurate: reference precision.
        name: of the projector for people, where the file is one made of it.
    """

    model: Path
    projector: Path
    hidden: int
    accurate: bool
    name: str

    def look(
        self, views: Sequence[View], progress: Progress, label: str, *, count: int = 0, stop: Sequence[int] = ()
    ) -> list[VisionOutput]:
        """Show pictures.

        Args:
            views: what to show.
            progress: reports the pictures.
            label: what the step is called.
            count: tokens of an answer at most.
            stop: ids that end one.

        Raises:
            ArtifactError: llama.cpp does not load a file, or falls over it.
        """
        place = part("float32")
        place.mkdir(parents=True, exist_ok=True)
        with scratch(place, "see-") as folder:
            job = {
                "model": str(self.model), "projector": str(self.projector), "hidden": self.hidden,
                "accurate": self.accurate, "count": count, "stop": list(stop),
                "views": [_written(folder, i, view) for i, view in enumerate(views)],
            }  # fmt: skip
            (folder / JOB).write_text(json.dumps(job), "utf-8")
            self._run(folder, len(views), progress, label)
            return [_read(folder, i) for i in range(len(views))]

    def _run(self, folder: Path, count: int, progress: Progress, label: str) -> None:
        task = progress.task(label, count)
        environment = {**os.environ, "GGML_NO_BACKTRACE": "1"}
        command = [sys.executable, "-P", "-m", f"{__package__}.llama_cpp_vision_process", str(folder)]
        said = folder / "stderr"
        with (
            said.open("wb") as errors,
            subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True, env=environment) as process,
        ):
            assert process.stdout
            for line in process.stdout:
                if line.strip() == SEEN:
                    task.advance(1)
        task.finish()
        if process.returncode:
            reason = _reason(said.read_text("utf-8", "replace"))
            raise ArtifactError(f"llama.cpp does not see with {self.name}: {reason}.", "Convert the checkpoint again.")


def marker() -> str:
    """Return the text that stands in a prompt for a picture."""
    return str(binding().get_default_media_marker())


def _written(folder: Path, number: int, view: View) -> dict[str, Any]:
    sources = [_place(folder, f"{number}-{i}", one) for i, one in enumerate((view.source, *view.further))]
    return {
        "sources": [str(place.resolve()) for place in sources],
        "text": view.text,
        "follow": None if view.follow is None else list(view.follow),
        "special": view.special,
    }


def _place(folder: Path, name: str, source: Array | Path) -> Path:
    if isinstance(source, Path):
        return source
    place = folder / f"picture-{name}.npy"
    np.save(place, source)
    return place


def _read(folder: Path, number: int) -> VisionOutput:
    found = json.loads((folder / f"found-{number}.json").read_text("utf-8"))
    logits = folder / f"logits-{number}.npy"
    rows = np.load(folder / f"rows-{number}.npy")
    return VisionOutput(rows, found["chunks"], found["made"], np.load(logits) if logits.is_file() else None)


def _reason(said: str) -> str:
    lines = [line.strip() for line in said.splitlines() if line.strip()] or ["it said nothing"]
    telling = next((line for line in lines if any(word in line for word in _TELLING)), lines[-1])
    return re.sub(r"^clip_init: failed to load model '[^']*': (?:\S+\(\): )?", "", telling).rstrip(".")
