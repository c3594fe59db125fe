"""What a user asks of an OpenVINO artifact, and what a run will do."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from ...core.manifest import CalibrationFacts
from ...quantize.scheme import Request, Scheme
from .calibrator import Calibrator
from .conflicts import Conflict
from .cost import Cost
from .format import BaseJob
from .scheme_plan import SchemePlan
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

    @property
    def unmeasured(self) -> str:
        """The layout for openvino_genai presents the model as another."""
        return "" if self.layout == "optimum" else "parity is measured on the optimum layout."


@dataclass(frozen=True)
class Plan(SchemePlan):
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
        return {**super().as_dict(), "calibration": self.calibration.model_dump() if self.calibration else None}

    def _further_rows(self) -> list[tuple[str, str]]:
        text = self.calibration
        if text is None:
            return []
        said = f"{text.name}: {text.samples} samples, {text.tokens:,} tokens"
        return [("calibration", said + (f", {text.pictures} pictures" if text.pictures else ""))]
