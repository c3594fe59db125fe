"""`edgeconv sensitivity`: which parts of a model compression hurts."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from .conversion import LocalFilesOnly, Revision
from .measured import Model, Suite, require_free, show
from .options import Json, Quiet, Verbose, choice
from .output import Output


def sensitivity(
    model: Model,
    *,
    precision: Annotated[
        str,
        typer.Option(
            "--precision", "-p", help="What one part becomes: int4, int8, a mode of NNCF, or a type of ggml (q4_k, …)."
        ),
    ] = "int4",
    group_size: Annotated[
        int | None,
        typer.Option(metavar="N", help="For int4: weights that share one scale, -1 for a row; 128 if not given."),
    ] = None,
    by: Annotated[
        Any, typer.Option(click_type=choice(("layer", "component", "tensor")), help="What is compressed at a time.")
    ] = "layer",
    method: Annotated[
        str,
        typer.Option(
            click_type=choice(("auto", "exact", "estimate")),
            help="Run every part, or estimate all tensors at once to second order; auto estimates tensors and runs the rest.",
        ),
    ] = "auto",
    suite: Suite = None,
    tokens: Annotated[int, typer.Option(metavar="N", min=256, help="Tokens of the suite to measure on.")] = 2048,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", metavar="DIR", help="Write sensitivity.json, .svg and .html there.", show_default=False
        ),
    ] = None,
    revision: Revision = None,
    local_files_only: LocalFilesOnly = False,
    json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Measure what compressing one part of a model costs: KL(reference ‖ that part compressed), a part at a time.

    A weight is quantized as the artifact would hold it, and runs in torch. The reference's activations before each layer are
    kept, so that a part costs the layers behind it only. Each figure is kept as it is made: a run that was stopped goes on.
    """
    from ..study.sensitivity import report
    from ..study.sensitivity.run import SensitivityJob, run

    out = Output(json=json, quiet=quiet, verbose=verbose)
    job = SensitivityJob(
        model=model,
        precision=precision,
        group_size=group_size,
        by=by,
        method=method,
        suite=suite,
        tokens=tokens,
        revision=revision,
        local_files_only=local_files_only,
    )
    require_free(report, output)
    with out.working() as progress:
        found = run(job, progress)
    show(out, found, report, output)
