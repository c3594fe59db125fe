"""`edgeconv frontier`: size against KL of many ways of compressing one model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .conversion import LocalFilesOnly, Revision
from .measured import Model, Suite, Tokens, require_free, show
from .options import Json, Quiet, Verbose
from .output import Output


def frontier(
    model: Model,
    *,
    points: Annotated[
        list[str] | None,
        typer.Option(
            metavar="POINT",
            help="A precision of `edgeconv openvino`, a type of `edgeconv gguf` or, as onnx/int8, one of `edgeconv onnx`, "
            "further options behind a colon: int4_sym:group_size=64,ratio=0.8. Repeatable; without it int8, int4 in several "
            "forms and the usual types.",
            show_default=False,
        ),
    ] = None,
    suite: Suite = None,
    tokens: Tokens = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", metavar="DIR", help="Write frontier.json, .svg and .html there.", show_default=False
        ),
    ] = None,
    revision: Revision = None,
    local_files_only: LocalFilesOnly = False,
    json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Convert a model in many ways, measure each, and show size against KL: one table, one picture.

    Every artifact is made in a scratch folder, measured as `edgeconv validate --quick` measures, and removed. The reference runs
    once. Each point is kept as it is made: a run that was stopped goes on, and further points add to those that are there.
    """
    from ..study.frontier import report
    from ..study.frontier.run import POINTS, FrontierJob, run

    out = Output(json=json, quiet=quiet, verbose=verbose)
    job = FrontierJob(
        model=model,
        points=tuple(points or POINTS),
        suite=suite,
        tokens=tokens,
        revision=revision,
        local_files_only=local_files_only,
    )
    require_free(report, output)
    with out.working() as progress:
        found = run(job, progress)
    show(out, found, report, output)
