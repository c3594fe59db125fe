"""What a run of recipes would do and cost, unit by unit, and whether there is room for all of it together."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ..convert import conversion
from ..convert.conversion import conflicts, cost
from ..convert.conversion.artifact import Planned
from ..convert.conversion.conflicts import Conflict
from ..core.errors import AccessError, ArtifactError, EdgeconvError, ExitCode, HubUnreachableError, OutputError
from ..core.progress import Progress
from .publication import require_possible, require_runtime
from .record import Record
from .unit import Unit


@dataclass(frozen=True)
class Preview:
    """One unit: its plan (None if none can be made), what a run would stop at, and whether an earlier run made it already."""

    unit: Unit
    plan: Planned | None
    conflicts: tuple[Conflict, ...] = ()
    there: bool = False

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready form."""
        return {
            "unit": self.unit.name,
            "inputs": self.unit.conversion(),
            "output": str(self.unit.output),
            "there": self.there,
            "plan": self.plan.as_dict() if self.plan else None,
            "conflicts": [conflict.as_dict() for conflict in self.conflicts],
        }

    def rows(self) -> list[tuple[str, str]]:
        """Label and value of each line that a person reads."""
        rows = [row for row in self.plan.rows() if row[0] != "conflict"] if self.plan else []
        if self.there:
            rows = [row for row in rows if row[0] not in ("disk", "memory")] + [("there", "an earlier run made it")]
        target = self.unit.target
        rows.append(("parity", _parity(self.unit) if target.parity else "not measured"))
        to = target.publish
        rows.append(("publish", to.repo + (f", branch {to.branch}" if to.branch else "") if to else "no"))
        return rows + [conflict.row() for conflict in self.conflicts]


def preview(units: Sequence[Unit], progress: Progress, *, publishing: bool = False) -> list[Preview]:
    """Plan every unit; no weight is read. With `publishing`, what stands against publication counts too.

    What would fail later is a conflict, and does not keep the others from being planned. The last
    conflict of a unit may be that a file system cannot hold its result behind those of the units before it.
    """
    found = [_one(unit, progress, publishing=publishing) for unit in units]
    needs: list[cost.Need] = []
    for at, one in enumerate(found):
        needs += _needs(one, known=needs)
        try:
            cost.require(cost.disks(needs))
        except OutputError as error:
            others = [c for c in one.conflicts if not c.message.startswith(_place(error))]
            found[at] = replace(one, conflicts=(*others, Conflict.of(error)))
            break
    return found


def require_room(units: Sequence[Unit], progress: Progress) -> None:
    """Refuse to start what does not fit when all units are done; whatever else is wrong is met unit by unit.

    Raises:
        OutputError: a file system cannot hold the downloads and results, with the numbers.
    """
    needs: list[cost.Need] = []
    silent: set[str] = set()
    for unit in units:
        if unit.job.model in silent or unit.output.exists():
            continue
        try:
            needs += _needs(Preview(unit, _plan(unit, progress)), known=needs)
        except (AccessError, HubUnreachableError):
            silent.add(unit.job.model)  # the unit says so itself; asking once more for each would take minutes
        except EdgeconvError:
            continue
    cost.require(cost.disks(needs))


def exit_code(found: Iterable[Preview]) -> ExitCode:
    """Return what a dry run answers: the first conflict's code, 0 if there is none."""
    return conflicts.exit_code(conflict for one in found for conflict in one.conflicts)


def _one(unit: Unit, progress: Progress, *, publishing: bool) -> Preview:
    there = unit.output.exists()
    stands = [] if not there or _is_ours(unit) else [Conflict.of(foreign(unit))]
    try:
        made = _plan(unit, progress, over=there)
    except EdgeconvError as error:
        later = _behind(unit, progress, None, publishing=publishing)
        return Preview(unit, None, (*stands, Conflict.of(error), *later), there)
    later = _behind(unit, progress, made, publishing=publishing)
    return Preview(unit, made, (*stands, *made.conflicts, *later), there and not stands)


def _behind(unit: Unit, progress: Progress, planned: Planned | None, *, publishing: bool) -> list[Conflict]:
    """List what would stop the run behind the conversion."""
    checks: list[Callable[[], None]] = [lambda: require_runtime(unit.target)]
    if publishing:
        checks.append(lambda: require_possible(unit, progress, planned, planless=planned is None))
    found = []
    for check in checks:
        try:
            check()
        except EdgeconvError as error:
            found.append(Conflict.of(error))
    return found


def _plan(unit: Unit, progress: Progress, *, over: bool = False) -> Planned:
    job = unit.job
    return conversion.plan(replace(job, force=job.force or over), progress)


def _is_ours(unit: Unit) -> bool:
    return bool(Record(unit).read("conversion") == unit.conversion())


def foreign(unit: Unit) -> ArtifactError:
    """Return the error for an output that is there, but was made by something else."""
    return ArtifactError(
        f"{unit.output} is there, and this recipe did not make it of this source.",
        "Remove it, or choose another folder with --output.",
    )


def _needs(one: Preview, known: Sequence[cost.Need]) -> list[cost.Need]:
    """List what a unit puts where; a checkpoint is fetched for the first unit only."""
    plan = one.plan
    if one.there or plan is None or plan.cost is None:
        return []
    asked = cost.needs(plan.cost.pending, one.unit.output, plan.output_bytes)
    fetched = {(need.what, need.folder, need.bytes) for need in known if need.what == cost.DOWNLOAD}
    return [need for need in asked if (need.what, need.folder, need.bytes) not in fetched]


def _place(error: OutputError) -> str:
    """The beginning of the sentence, which names the file system."""
    return error.message.split(" has ")[0]


def _parity(unit: Unit) -> str:
    target = unit.target
    budgets = ", ".join(f"{name} {limit:g}" for name, limit in target.budget.items())
    return "measured" + (", quick" if target.quick else "") + (f"; {budgets}" if budgets else "")
