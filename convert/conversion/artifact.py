"""What every format leaves behind: digests, versions, a log, and the artifact that is handed back."""

from __future__ import annotations

import json
import math
import platform
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from ...core.digest import sha256_file
from ...core.manifest import FileDigest, Manifest, Source, TensorEntry
from .. import card
from ..checkpoint import Checkpoint
from .conflicts import Conflict
from .cost import Cost
from .smoke import Smoke


class Planned(Protocol):
    """What a plan of any format can say."""

    @property
    def engine(self) -> str:
        """What writes it: "stream" or "trace"."""
        ...

    @property
    def output(self) -> Path:
        """Where the artifact will lie."""
        ...

    @property
    def output_bytes(self) -> int:
        """Of all its files."""
        ...

    @property
    def cost(self) -> Cost | None:
        """What a run costs."""
        ...

    @property
    def smoke_test(self) -> Smoke | None:
        """Whether the runtime will try the result."""
        ...

    @property
    def conflicts(self) -> list[Conflict]:
        """What a run would stop at."""
        ...

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready form."""
        ...

    def rows(self) -> list[tuple[str, str]]:
        """Label and value of each line that a person reads."""
        ...


@dataclass(frozen=True)
class Artifact:
    """A finished conversion: the folder or file, its manifest, the plan that led to it, the seconds it took, and the smoke test.

    The seconds of that are its own.
    """

    path: Path
    manifest: Manifest
    plan: Planned
    seconds: float
    smoke: Smoke | None = None


def source_of(checkpoint: Checkpoint, repo_id: str | None, commit: str | None, files: dict[str, FileDigest]) -> Source:
    """Return the manifest's section on the checkpoint."""
    return Source(
        repo_id=repo_id if commit else None,
        commit=commit,
        model_type=checkpoint.model_type,
        architectures=_texts(checkpoint.config.get("architectures")),
        parameters=checkpoint.parameters,
        files=files,
        card=card.kept(checkpoint.folder),
    )


def _texts(stated: Any) -> list[str]:
    return [text for text in stated if isinstance(text, str)] if isinstance(stated, list) else []


def bits_per_weight(tensors: Iterable[TensorEntry]) -> float:
    """Return the bits that a weight takes on average, scales and zero points included."""
    entries = list(tensors)
    elements = sum(math.prod(entry.shape) for entry in entries)
    return round(sum(entry.bytes for entry in entries) * 8 / max(1, elements), 4)


def outputs(folder: Path, known: dict[str, FileDigest]) -> dict[str, FileDigest]:
    """Return the digests of all files of a staging folder; `known` ones are not read again."""
    names = sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())
    return {
        name: known.get(name) or FileDigest(size=(folder / name).stat().st_size, sha256=sha256_file(folder / name))
        for name in names
    }


def versions(names: Iterable[str]) -> dict[str, str]:
    """Return the versions of what shaped the bytes."""
    from importlib.metadata import version

    return {name: version(name) for name in names}


def write_log(path: Path, model: str, source: Path, *, started: float, seconds: float, smoke: Smoke | None) -> None:
    """Write what differs between two runs: beside the manifest and outside its digests.

    Args:
        path: of the log.
        model: what the user asked for.
        source: the checkpoint's folder on this machine.
        started: seconds since the epoch.
        seconds: that the conversion took.
        smoke: what became of the smoke test: another machine has other memory and other runtimes.
    """
    log = {
        "started": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(started)),
        "seconds": round(seconds, 3),
        "smoke_test": smoke.as_dict() if smoke else None,
        "model": model,
        "source": str(source.absolute()),
        "machine": platform.platform(),
        "python": platform.python_version(),
    }
    path.write_text(json.dumps(log, indent=1) + "\n", "utf-8")
