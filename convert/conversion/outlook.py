"""What would become of a checkpoint in one format, by that format's defaults: its plan, or what stands against it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ...core.errors import EdgeconvError
from ...core.option import made
from ..options import OF_FORMAT
from .artifact import Planned
from .conflicts import Conflict
from .convert import plan
from .jobs import Circumstances, job

if TYPE_CHECKING:
    from ...hub.fetch import Metadata


@dataclass(frozen=True)
class Outlook:
    """Of one format.

    Attributes:
        format: its name.
        plan: of a conversion without options; None if none can be made.
        conflicts: what stands against it, as a run would say it.
    """

    format: str
    plan: Planned | None
    conflicts: tuple[Conflict, ...]

    @property
    def converts(self) -> bool:
        """True if a run is expected to succeed here."""
        return self.plan is not None and not self.conflicts

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready form."""
        cost = self.plan.cost if self.plan else None
        return {
            "format": self.format,
            "converts": self.converts,
            "engine": self.plan.engine if self.plan else None,
            "cost": cost.as_dict() if cost else None,
            "conflicts": [conflict.as_dict() for conflict in self.conflicts],
        }


def outlook(name: str, model: str, metadata: Metadata) -> Outlook:
    """Plan a conversion without options; what lies under the output's name is no obstacle.

    Args:
        name: of the format.
        model: as the user named it.
        metadata: the checkpoint's small files and headers.
    """
    asked = made(OF_FORMAT[name], {"model": model, "force": True})
    try:
        planned: Planned = plan(job(asked, Circumstances(smoke_test=False)), metadata=metadata)
    except EdgeconvError as error:
        return Outlook(name, None, (Conflict.of(error),))
    return Outlook(name, planned, tuple(planned.conflicts))
