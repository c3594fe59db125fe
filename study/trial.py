"""A model converted in one way and measured as `edgeconv validate --quick` does; each result is kept as it is made."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..convert import conversion
from ..convert.conversion import source
from ..convert.conversion.source import OpenedSource
from ..core.digest import sha256_file
from ..core.errors import ArtifactError
from ..core.progress import Progress, Silent
from ..core.scratch import scratch
from .points import HEADS, Point

if TYPE_CHECKING:
    from ..validate.report.model import Estimate
    from ..validate.suite import Suite

_PREFIX = "edgeconv-trial-"
VERSIONS = ("openvino", "nncf", "gguf")
"""What makes another artifact, or another measurement."""


@dataclass(frozen=True)
class Trial:
    """What came out.

    Attributes:
        point: the way.
        bytes: of all files that the conversion wrote.
        bits_per_weight: scales and zero points included.
        mean_kl, top1: of the artifact in its own runtime beside the reference in float32, with 95 % intervals.
    """

    point: Point
    bytes: int
    bits_per_weight: float
    mean_kl: Estimate
    top1: Estimate

    @property
    def judged_kl(self) -> float:
        """The worse end of the interval, which a validation holds against its budget."""
        return self.mean_kl.value if self.mean_kl.high is None else self.mean_kl.high

    @property
    def judged_top1(self) -> float:
        """Likewise, the lower end."""
        return self.top1.value if self.top1.low is None else self.top1.low


class Bench:
    """Converts and measures one model.

    Attributes:
        opened: the checkpoint, fetched if need be.
        suite: the texts.
        tokens: how many of the suite's are measured on; None: all.
    """

    def __init__(
        self,
        model: str,
        *,
        revision: str | None = None,
        suite: Path | None = None,
        tokens: int | None = None,
        local_files_only: bool = False,
        progress: Progress | None = None,
    ) -> None:
        """Fetch and open.

        Raises:
            EdgeconvError: any of the family.
        """
        from ..validate.suite import load

        self.progress = progress or Silent()
        self.opened: OpenedSource = source.whole(
            model, revision, self.progress, runs_code=False, local_files_only=local_files_only, keeps_digests=True
        )
        self.suite: Suite = load(suite)
        self.tokens = tokens
        self._suite_file = suite

    def run(self, point: Point) -> Trial:
        """Convert in a scratch folder and measure there, or take what an earlier run found.

        Raises:
            EdgeconvError: any of the family: the options do not work, the conversion or the measurement failed.
        """
        from ..core.kept import Kept
        from ..validate.report.model import Estimate
        from .sensitivity.subject import digest_of

        facts = {
            "weights": digest_of(self.opened.checkpoint, self.progress),
            "suite": self.suite.digest,
            "tokens": self.tokens,
            "point": point.target(),
            **_contents(point),
        }
        kept = Kept("trial", facts, self.progress, (*VERSIONS, *HEADS[point.format].versions))
        found = kept.get("trial")
        if found is None:
            found = self._made(point)
            kept.put("trial", found)
        estimates = {name: Estimate.model_validate(found[name]) for name in ("mean_kl", "top1")}
        return Trial(point, found["bytes"], found["bits_per_weight"], **estimates)

    def size(self, point: Point) -> int:
        """Return the bytes that an artifact will have, from the headers alone: exact for GGUF, within a percent for others."""
        job = point.job(str(self.opened.folder), Path(tempfile.gettempdir()) / f"{_PREFIX}{point.format}")
        planned = conversion.plan(job)
        return planned.output_bytes

    def _made(self, point: Point) -> dict[str, Any]:
        with scratch(Path(tempfile.gettempdir()), _PREFIX) as place:
            job = point.job(str(self.opened.folder), place / "artifact")
            quiet = _Quiet(self.progress)
            done = conversion.run(job, quiet)
            figures = self._measured(done.path, quiet)
            size = sum(file.size for file in done.manifest.outputs.values())
        return {"bytes": size, "bits_per_weight": done.manifest.bits_per_weight, **figures}

    def _measured(self, artifact: Path, progress: Progress) -> dict[str, Any]:
        from ..validate.parity import Ask, validate

        ask = Ask(
            artifact,
            reference=str(self.opened.folder),
            suite=self._suite_file,
            max_tokens=self.tokens,
            quick=True,
        )
        report = validate(ask, progress)
        found = next((one for one in report.comparisons if one.name == "quantisation"), None)
        if found is None:
            failures = [failure for check in report.rungs for failure in check.failures]
            raise ArtifactError(f"The artifact could not be measured: {' '.join(failures[:2]) or report.first_failed}.")
        return {name: found.figures[name].model_dump(mode="json") for name in ("mean_kl", "top1")}


def _contents(point: Point) -> dict[str, Any]:
    """Return the digests of the files that a point names: a text that has changed makes another artifact."""
    named = [point.options.get(name) for name in ("calibration", "imatrix")]
    files = {str(name): sha256_file(Path(name)) for name in named if name and Path(name).is_file()}
    return {"files": files} if files else {}


class _Quiet:
    """Passes steps on, and drops notes: each conversion would repeat its whole plan."""

    def __init__(self, progress: Progress) -> None:
        self.task = progress.task
        self.detail = progress.detail

    def note(self, message: str) -> None:
        """Show it with -v only."""
        self.detail(message)
