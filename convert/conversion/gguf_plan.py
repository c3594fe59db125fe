"""What a user asks of a GGUF, and what a run will do."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from ...core.staging import check_files, check_output
from ...core.units import size
from ..gguf.recipe import Recipe
from .calibrator import Calibrator
from .conflicts import Conflict
from .cost import Cost
from .format import BaseJob
from .smoke import Smoke

SUFFIX = ".gguf"


@dataclass(frozen=True)
class GgufJob(BaseJob["GgufPlan"]):
    """What a user asks for.

    Attributes:
        model: a Hub id or a folder.
        recipe: the types.
        revision: of the Hub's repository.
        output: a folder, or a file if it ends in .gguf; None: a folder named after the model.
        force: replace what is there.
        imatrix: a file of llama-imatrix.
        split_max_size: bytes of tensors that a file may hold; 0: one file.
        vision_precision: of the tower of a vision-language model; None: fp16; "none": the language model alone.
        pre: name of the pre-tokenizer in llama.cpp; None: find out.
        local_files_only: ask the Hub nothing.
        keeps_digests: a folder's files that were hashed before, and have not changed since, are not hashed again.
        smoke_test: let the runtime make a token of the result (`conversion.smoke`); None: as the environment says, else yes.
        calibrator: runs the model where `imatrix` is a text.
    """

    format: ClassVar[str] = "gguf"
    model: str
    recipe: Recipe
    revision: str | None = None
    output: Path | None = None
    force: bool = False
    imatrix: Path | None = None
    split_max_size: int = 0
    vision_precision: str | None = None
    pre: str | None = None
    local_files_only: bool = False
    keeps_digests: bool = False
    smoke_test: bool | None = None
    calibrator: Calibrator | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True)
class GgufPlan:
    """What a run will do, known before a weight is read.

    `output_bytes` is exact, `types` counts tensors by type, `conflicts` is what a run would stop at.
    """

    source: str
    commit: str | None
    model_type: str
    architecture: str
    parameters: int
    recipe: Recipe
    types: dict[str, int]
    engine: str
    compressor: str
    imatrix: str | None
    input_bytes: int
    output_bytes: int
    output: Path
    files: list[str]
    assumed: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    vision: str | None = None
    cost: Cost | None = None
    smoke_test: Smoke | None = None
    conflicts: list[Conflict] = field(default_factory=list)

    @property
    def single(self) -> bool:
        """True if the output is a file of the user's name, not a folder."""
        return self.output.suffix == SUFFIX

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready form."""
        return {
            **self.__dict__,
            "recipe": self.recipe.as_dict(),
            "output": str(self.output),
            "cost": self.cost.as_dict() if self.cost else None,
            "smoke_test": self.smoke_test.as_dict() if self.smoke_test else None,
            "conflicts": [conflict.as_dict() for conflict in self.conflicts],
        }

    def rows(self) -> list[tuple[str, str]]:
        """Label and value of each line that a person reads."""
        types = ", ".join(f"{count} {name}" for name, count in self.types.items())
        parts = f" in {len(self.files)} files" if len(self.files) > 1 else ""
        rows = [
            ("source", self.source + (f" @ {self.commit[:12]}" if self.commit else "")),
            ("model", f"{self.model_type}, {self.parameters / 1e6:,.1f} M parameters, {size(self.input_bytes)}"),
            ("architecture", f"{self.architecture} of llama.cpp"),
            ("types", f"{self.recipe.describe()}: {types}"),
            *([("vision", self.vision)] if self.vision else []),
            *([("importance", self.imatrix)] if self.imatrix else []),
            ("quantizer", self.compressor),
            ("output", f"{self.output}, {self.output_bytes:,} bytes{parts}"),
            *(self.cost.rows() if self.cost else []),
            *([("smoke test", self.smoke_test.describe())] if self.smoke_test else []),
        ]
        rows += [("assumed", sentence) for sentence in self.assumed]
        rows += [("note", sentence) for sentence in self.notes]
        return rows + [conflict.row() for conflict in self.conflicts]


def check_place(output: Path, names: list[str], *, force: bool) -> None:
    """Refuse an output that cannot be written: a folder, or files of these names. Raises OutputError."""
    if output.suffix == SUFFIX:
        check_files(output, names, force=force)
    else:
        check_output(output, force=force)
