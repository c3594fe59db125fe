"""What a user asks of an ONNX model, and what a run will do."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from ...core.units import size
from ...quantize.scheme import Request, Scheme
from . import vision_facts as seeing
from .conflicts import Conflict
from .cost import Cost
from .format import BaseJob
from .smoke import Smoke


@dataclass(frozen=True)
class OnnxJob(BaseJob["OnnxPlan"]):
    """What a user asks for.

    Attributes:
        model: a Hub id, a folder or a GGUF.
        request: what the weights become.
        revision: of the Hub's repository.
        output: a folder; None: one named after the model.
        force: replace what is there.
        engine: "stream", "trace", or "auto": whichever can.
        accuracy_level: of MatMulNBits, 0, 1 or 4.
        vision_precision: of the tower of a vision-language model; None: float16 if it fits, beside a compressed model.
        local_files_only: ask the Hub nothing.
        keeps_digests: a folder's files that were hashed before, and have not changed since, are not hashed again.
        smoke_test: let the runtime make a token of the result (`conversion.smoke`); None: as the environment says, else yes.
    """

    format: ClassVar[str] = "onnx"
    model: str
    request: Request
    revision: str | None = None
    output: Path | None = None
    force: bool = False
    engine: str = "auto"
    accuracy_level: int = 4
    vision_precision: str | None = None
    local_files_only: bool = False
    keeps_digests: bool = False
    smoke_test: bool | None = None


@dataclass(frozen=True)
class OnnxPlan:
    """What a run will do, known before a weight is read.

    `output_bytes` predicts all files of the artifact from shapes. `scheme` is the language model's, `vision_scheme` that of the
    vision part, if there is one, and `image_tokens` the rows that it makes of a picture. `conflicts` is what a run would stop
    at.
    """

    source: str
    commit: str | None
    model_type: str
    parameters: int
    engine: str
    engine_reason: str
    compressor: str
    scheme: Scheme
    accuracy_level: int
    input_bytes: int
    output_bytes: int
    output: Path
    assumed: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    vision_scheme: Scheme | None = None
    image_tokens: int | None = None
    cost: Cost | None = None
    smoke_test: Smoke | None = None
    conflicts: list[Conflict] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready form."""
        return {
            **self.__dict__,
            "scheme": self.scheme.as_dict(),
            "vision_scheme": self.vision_scheme.as_dict() if self.vision_scheme else None,
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
            *seeing.rows(self.vision_scheme, self.image_tokens),
            ("engine", f"{self.engine}: {self.engine_reason}"),
            ("output", f"{self.output}, about {size(self.output_bytes)}"),
            *(self.cost.rows() if self.cost else []),
            *([("smoke test", self.smoke_test.describe())] if self.smoke_test else []),
        ]
        rows += [("assumed", sentence) for sentence in self.assumed]
        rows += [("note", sentence) for sentence in self.notes]
        return rows + [conflict.row() for conflict in self.conflicts]
