"""What a user asks of an OpenVINO artifact, and what a run will do."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from ...core.manifest import CalibrationFacts
from ...core.units import size
from ...quantize.scheme import Request, Scheme
from .calibrator import Calibrator
from .conflicts import Conflict
from .cost import Cost
from .format import BaseJob
from .smoke import Smoke


@dataclass(frozen=True)
class Job(BaseJob["Plan"]):
    """What a user asks for.

    With `keeps_digests` a folder's files that were hashed before, and have not changed since, are not hashed again. `smoke_test`:
    let the runtime make a token of the result (`conversion.smoke`); None: as the environment says, else yes. `calibrator`
    runs the model where the request has a calibration text.
    """

    format: ClassVar[str] = "openvino"
    model: str
    request: Request
    revision: str | None = None
    output: Path | None = None
    force: bool = False
    trust_remote_code: bool = False
    engine: str = "auto"
    compressor: str = "auto"
    rope: str = "source"
    vision_precision: str | None = None
    layout: str = "optimum"
    local_files_only: bool = False
    keeps_digests: bool = False
    smoke_test: bool | None = None
    calibrator: Calibrator | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True)
class Plan:
    """What a run will do, known before a weight is read.

    `output_bytes` predicts all files of the artifact from shapes; `input_bytes` counts the shards. `scheme` is the language
    half's, `vision_scheme` that of the vision part, if there is one, and `image_tokens` the rows that it makes of a picture.
    `conflicts` is what a run would stop at.
    """

    source: str
    commit: str | None
    model_type: str
    parameters: int
    engine: str
    engine_reason: str
    compressor: str
    rope: str
    scheme: Scheme
    input_bytes: int
    output_bytes: int
    output: Path
    assumed: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    vision_scheme: Scheme | None = None
    image_tokens: int | None = None
    calibration: CalibrationFacts | None = None
    cost: Cost | None = None
    smoke_test: Smoke | None = None
    conflicts: list[Conflict] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready form."""
        return {
            **self.__dict__,
            "scheme": self.scheme.as_dict(),
            "vision_scheme": self.vision_scheme.as_dict() if self.vision_scheme else None,
            "calibration": self.calibration.model_dump() if self.calibration else None,
            "output": str(self.output),
            "cost": self.cost.as_dict() if self.cost else None,
            "smoke_test": self.smoke_test.as_dict() if self.smoke_test else None,
            "conflicts": [conflict.as_dict() for conflict in self.conflicts],
        }

    def rows(self) -> list[tuple[str, str]]:
        """Label and value of each line that a person reads."""
        rows = [
            ("source", self.source + (f" @ {self.commit[:12]}" if self.commit else "")),
            ("model", f"{self.model_type}, {self.parameters / 1e6:,.1f} M parameters, {size(self.input_bytes)}"),
            ("scheme", f"{self.scheme.describe()} (chosen by {self.scheme.chosen_by})"),
            *self._vision_rows(),
            *self._calibration_rows(),
            ("engine", f"{self.engine}: {self.engine_reason}"),
            ("output", f"{self.output}, about {size(self.output_bytes)}"),
            *(self.cost.rows() if self.cost else []),
            *([("smoke test", self.smoke_test.describe())] if self.smoke_test else []),
        ]
        rows += [("assumed", sentence) for sentence in self.assumed]
        rows += [("note", sentence) for sentence in self.notes]
        return rows + [conflict.row() for conflict in self.conflicts]

    def _calibration_rows(self) -> list[tuple[str, str]]:
        text = self.calibration
        if text is None:
            return []
        said = f"{text.name}: {text.samples} samples, {text.tokens:,} tokens"
        return [("calibration", said + (f", {text.pictures} pictures" if text.pictures else ""))]

    def _vision_rows(self) -> list[tuple[str, str]]:
        scheme = self.vision_scheme
        if scheme is None:
            return []
        tokens = f"; {self.image_tokens} tokens a picture" if self.image_tokens else ""
        return [("vision", f"{scheme.describe()} (chosen by {scheme.chosen_by}){tokens}")]
