"""Which files a target is going to have on the Hub, before there is one: what of others' would be in the way there."""

from __future__ import annotations

from ..convert.conversion import FORMATS, source
from ..convert.conversion.artifact import Planned
from ..core.progress import Progress
from ..publish.place import PARITY
from ..validate.report.write import HTML_NAME, JSON_NAME, MARKDOWN_NAME
from .unit import Unit

REPORT = tuple(f"{PARITY}/{name}" for name in (JSON_NAME, MARKDOWN_NAME, HTML_NAME))


def files(unit: Unit, progress: Progress, planned: Planned | None = None) -> tuple[str, ...]:
    """Return the names of a unit's files as they would be published; of graphs also those of a model of another kind.

    Args:
        unit: the target.
        progress: reports what is fetched: configs and tokenizer files, and headers of weights.
        planned: the unit's plan, if there is one already.

    Raises:
        EdgeconvError: any of the family: the source cannot be opened, or not be converted.
    """
    job = unit.job

    def opened() -> source.OpenedSource:
        return source.headers(job.model, job.revision, progress, runs_code=False, local_files_only=job.local_files_only)

    return (*FORMATS[job.format].published(job, opened, planned), *(REPORT if unit.target.parity else ()))
