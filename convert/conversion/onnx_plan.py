"""What a user asks of an ONNX model, and what a run will do."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from ...quantize.scheme import Request, Scheme
from .conflicts import Conflict
from .cost import Cost
from .format import BaseJob
from .scheme_plan import SchemePlan
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
class OnnxPlan(SchemePlan):
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
