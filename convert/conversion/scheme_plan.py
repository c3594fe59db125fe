"""What the plans of the formats that store one of NNCF's schemes show alike."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ...core.units import size
from ...quantize.scheme import Scheme
from . import vision_facts
from .conflicts import Conflict
from .cost import Cost
from .smoke import Smoke


class SchemePlan:
    """What both plans are: frozen dataclasses with these fields, each in its own order, which `as_dict` keeps."""

    source: str
    commit: str | None
    model_type: str
    parameters: int
    engine: str
    engine_reason: str
    scheme: Scheme
    input_bytes: int
    output_bytes: int
    output: Path
    assumed: list[str]
    notes: list[str]
    vision_scheme: Scheme | None
    image_tokens: int | None
    cost: Cost | None
    smoke_test: Smoke | None
    conflicts: list[Conflict]

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
        found = [
            ("source", self.source + (f" @ {self.commit[:12]}" if self.commit else "")),
            ("model", f"{self.model_type}, {self.parameters / 1e6:,.1f} M parameters, {size(self.input_bytes)}"),
            ("scheme", f"{self.scheme.describe()} (chosen by {self.scheme.chosen_by})"),
            *vision_facts.rows(self.vision_scheme, self.image_tokens),
            *self._further_rows(),
            ("engine", f"{self.engine}: {self.engine_reason}"),
            ("output", f"{self.output}, about {size(self.output_bytes)}"),
            *(self.cost.rows() if self.cost else []),
            *([("smoke test", self.smoke_test.describe())] if self.smoke_test else []),
        ]
        found += [("assumed", sentence) for sentence in self.assumed]
        found += [("note", sentence) for sentence in self.notes]
        return found + [conflict.row() for conflict in self.conflicts]

    def _further_rows(self) -> list[tuple[str, str]]:
        """Lines of one format behind the schemes."""
        return []
