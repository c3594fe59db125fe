"""A job of any format becomes a plan, and a plan an artifact."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from ...core.manifest import log_path
from ...core.progress import Progress, Silent
from . import smoke, source
from .artifact import Artifact, write_log
from .conflicts import Collector
from .format import BaseJob, Format, PlanT
from .formats import FORMATS

if TYPE_CHECKING:
    from ...hub.fetch import Metadata


def plan(job: BaseJob[PlanT], progress: Progress | None = None, metadata: Metadata | None = None) -> PlanT:
    """Read configs, tokenizer files and headers only; say what a run would do and cost, and what it would stop at.

    Args:
        job: what is asked.
        progress: reports what is fetched.
        metadata: of the job's source, if it is here already.

    Raises:
        EdgeconvError: any of the family; nothing was written. Options that contradict each other are all in one error.
    """
    form = FORMATS[job.format]
    if metadata is None:
        opened = source.headers(job.model, job.revision, progress or Silent(), **_access(form, job))
    else:
        opened = source.of_metadata(metadata, trust_remote_code=form.consents(job) or not form.runs_code)
    made: PlanT = form.prepare(job, opened, Collector(stops=False)).plan
    return made


def run(job: BaseJob[Any], progress: Progress | None = None) -> Artifact:
    """Convert.

    Raises:
        EdgeconvError: any of the family; nothing is left under the output's name, or what was there stays as it was.
    """
    form, progress, started = FORMATS[job.format], progress or Silent(), time.time()
    form.check_output(job)
    if source.is_remote(job.model):  # what cannot work, or does not fit, must not cost a download
        form.prepare(
            job, source.headers(job.model, job.revision, progress, **_access(form, job)), Collector(stops=True)
        )
    opened = source.whole(job.model, job.revision, progress, keeps_digests=job.keeps_digests, **_access(form, job))
    ready = form.prepare(job, opened, Collector(stops=True), progress)
    for label, value in ready.plan.rows():
        progress.note(f"{label}: {value}")
    name = form.manifest_name(ready)
    with form.stage(ready, job, progress) as folder:
        manifest = form.write(ready, job, opened, folder, progress)
        manifest.write(folder, name)
        seconds = time.time() - started
        paths = form.loaded(manifest, folder)
        tried = smoke.run(ready.plan.smoke_test, form.name, paths, progress)
        write_log(log_path(folder / name), job.model, opened.folder, started=started, seconds=seconds, smoke=tried)
    return Artifact(form.path(ready), manifest, ready.plan, seconds, tried)


def _access(form: Format[Any, Any], job: BaseJob[Any]) -> dict[str, bool]:
    """Return what the source may do, and be asked."""
    return {
        "trust_remote_code": form.consents(job),
        "runs_code": form.runs_code,
        "local_files_only": job.local_files_only,
    }
