"""What a unit's publication needs, checked before anything is converted for it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..convert.conversion import FORMATS
from ..convert.conversion.artifact import Planned
from ..core.errors import UsageError
from ..core.option import made
from ..core.progress import Progress
from ..publish import preconditions
from ..publish.options import PublishOptions
from ..publish.publish import Publication
from ..runtimes.required import REQUIRE
from . import expected
from .model import Publish, Target
from .unit import Unit


def publication(folder: Path, to: Publish) -> Publication:
    """Return what publishing a unit's artifact asks for."""
    return Publication.of(made(PublishOptions, {"folder": folder, **to.model_dump()}))


def require_runtime(target: Target) -> None:
    """Refuse to convert what cannot be measured afterwards. Raises UsageError if the package of its runtime is missing."""
    if target.parity:
        REQUIRE[target.format]()


def require_possible(unit: Unit, progress: Progress, planned: Planned | None = None, *, planless: bool = False) -> None:
    """Check everything about a unit's publication that is known before there is a result. Writes nothing.

    Args:
        unit: the target.
        progress: reports the requests.
        planned: the unit's plan, if there is one already; it need not be made again.
        planless: the unit cannot be planned, so nobody knows what files it would have.

    Raises:
        UsageError: a placeholder, or a name that no repository has.
        AccessError: the token may not write, the repository is public where a private one was asked for, or is somebody else's.
        HubUnreachableError: no answer.
    """
    if unit.target.publish:
        asked = publication(unit.output, unit.target.publish)
        asked.check()  # at once: no checkpoint is looked at for a name that is none
        names = () if planless else expected.files(unit, progress, planned)
        preconditions.check_before_conversion(asked, names, progress)


def require_apart(units: Sequence[Unit]) -> None:
    """Refuse targets that would take each other's place on the Hub: only several types of GGUF share a repository.

    Raises:
        UsageError: names two of them.
    """
    seen: dict[tuple[str, str | None, bool], list[Unit]] = {}
    for unit in units:
        to = unit.target.publish
        if to is None:
            continue
        before = seen.setdefault((to.repo.lower(), to.branch, to.create_pr), [])
        clash = next((other for other in before if not _apart(unit, other)), None)
        if clash:
            raise UsageError(
                f"{clash.name} and {unit.name} publish to {to.repo}, and would take each other's place there.",
                "Give each a repository, or a branch; only several types of GGUF share one.",
            )
        before.append(unit)


def _apart(one: Unit, two: Unit) -> bool:
    form = FORMATS[one.job.format]
    alike = one.job.format == two.job.format and form.shares_repository
    return alike and form.variant(one.job) != form.variant(two.job)
