"""`edgeconv onnx`: a checkpoint becomes an ONNX model for onnxruntime."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..core.errors import ExitCode, UsageError
from ..quantize import scheme
from . import validate as parity
from .options import Json, Quiet, Verbose, choice
from .output import Output, duration, size
from .validate import Budgets

if TYPE_CHECKING:
    from ..pipeline import Artefact
    from ..pipeline.onnx import OnnxJob, OnnxPlan
    from ..validate.report.model import Report

PRECISIONS = ("int4", "int4_sym", "int4_asym", "int8", "int8_sym", "int8_asym", "bf16", "fp16", "fp32")
BACKUPS = ("none", "int8_sym", "int8_asym")


def onnx(
    *,
    model: Annotated[
        str,
        typer.Option(
            "--model",
            "-m",
            metavar="ID|DIR|GGUF",
            help="A Hub id, also as ID@REVISION, a checkpoint's folder, or a .gguf.",
        ),
    ],
    precision: Annotated[
        str,
        typer.Option("--precision", "-p", click_type=choice(PRECISIONS), help="What the weights become."),
    ] = "int4",
    group_size: Annotated[
        int | None,
        typer.Option(
            metavar="N", help="Weights of a row that share one scale, a multiple of 16; -1: the whole row. For int4."
        ),
    ] = None,
    group_size_fallback: Annotated[
        str | None,
        typer.Option(
            click_type=choice(scheme.FALLBACKS),
            help="What happens to a row that the group size does not divide: an error, left uncompressed, or a "
            "smaller group.",
        ),
    ] = None,
    ratio: Annotated[
        float | None,
        typer.Option(
            metavar="R", help="Share of the weights, 0 to 1, that get the precision; the rest get the backup."
        ),
    ] = None,
    sym: Annotated[
        bool | None, typer.Option("--sym/--asym", help="Quantise without or with a zero point.", show_default=False)
    ] = None,
    backup_precision: Annotated[
        str | None,
        typer.Option(click_type=choice(BACKUPS), help="What embeddings, last layer and the rest become."),
    ] = None,
    all_layers: Annotated[
        bool | None, typer.Option("--all-layers", help="Give embeddings and last layer the precision too.")
    ] = None,
    accuracy_level: Annotated[
        str,
        typer.Option(
            click_type=choice(("0", "1", "4")),
            help="What onnxruntime multiplies int4 weights in: 4: int8, which is fastest; 1: float32; 0: as it likes.",
        ),
    ] = "4",
    revision: Annotated[str | None, typer.Option(help="Branch, tag or commit of the Hub's repository.")] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="DIR", help="Where the result goes.", show_default=False)
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a converted model that is there already.")] = False,
    local_files_only: Annotated[
        bool, typer.Option("--local-files-only", help="Use what was downloaded before; ask the Hub nothing.")
    ] = False,
    validate: Annotated[
        bool,
        typer.Option(
            "--validate",
            help="Then measure in onnxruntime whether the result is still its checkpoint, as `edgeconv validate` does, and "
            "write the report to OUT/parity. Exits with 3 if it is not.",
        ),
    ] = False,
    budget: Budgets = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the plan and stop; no weight is read.")] = False,
    json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Convert a chat checkpoint to an ONNX model with its tokenizer, in one pass.

    The folder that results runs in onnxruntime, with the inputs and outputs that optimum's ORTModelForCausalLM reads, and in
    onnxruntime-genai. Weights have the very values that `edgeconv openvino` gives them; int4 is MatMulNBits, an operator of
    onnxruntime's, all else is standard ONNX (opset 21). A private or gated repository needs a token: set HF_TOKEN or log in with
    `hf auth login`.
    """
    from ..pipeline.onnx import OnnxJob

    request = scheme.Request(
        precision=precision,
        group_size=group_size,
        group_size_fallback=group_size_fallback,
        ratio=ratio,
        sym=sym,
        backup_precision=backup_precision,
        all_layers=all_layers,
    )
    job = OnnxJob(
        model=model,
        request=request,
        revision=revision,
        output=output,
        force=force,
        accuracy_level=int(accuracy_level),
        local_files_only=local_files_only,
    )
    limits = parity.limits(budget)  # before the conversion: a wrong one must not cost an hour
    if limits and not validate:
        raise UsageError("--budget is a limit of the validation.", "Add --validate.")
    _run(Output(json=json, quiet=quiet, verbose=verbose), job, limits if validate else None, dry_run=dry_run)


def _run(out: Output, job: OnnxJob, limits: dict[str, float] | None, *, dry_run: bool) -> None:
    from ..pipeline import onnx as pipeline

    if dry_run:
        with out.working() as progress:
            plan = pipeline.plan(job, progress)
        show_plan(out, plan)
        return
    with out.working() as progress:
        artefact = pipeline.run(job, progress)
    found = None if limits is None else parity.of_new(out, artefact.path, limits)
    show_artefact(out, artefact, found)
    if found and found.verdict == "failed":
        raise typer.Exit(ExitCode.PARITY)


def show_plan(out: Output, plan: OnnxPlan) -> None:
    """Print the plan on stdout: it is what `--dry-run` was asked for; end as a run would that stops at a conflict."""
    from ..pipeline.conflicts import exit_code

    if out.json:
        out.data(plan.as_dict())
    else:
        out.pairs(plan.rows())
    if plan.conflicts:
        raise typer.Exit(exit_code(plan.conflicts))


def show_artefact(out: Output, artefact: Artefact, found: Report | None = None) -> None:
    """Print the path on stdout and what became of the model, and of its validation, on stderr."""
    if out.json:
        out.data(summary(artefact) | (parity.brief(found, artefact.path) if found else {}))
        return
    if not out.quiet:
        out.pairs(_rows(artefact), stream=sys.stderr)
        if found:
            parity.show(out, found, parity.report_of(artefact.path), sys.stderr)
    out.result(str(artefact.path))


def summary(artefact: Artefact) -> dict[str, Any]:
    """What `--json` answers after a conversion; the per-tensor table stays in the manifest."""
    manifest = artefact.manifest
    return {
        "output": str(artefact.path),
        "files": sorted(manifest.outputs),
        "source_bytes": sum(file.size for file in manifest.source.files.values()),
        "output_bytes": sum(file.size for file in manifest.outputs.values()),
        "bits_per_weight": manifest.bits_per_weight,
        "scheme": manifest.scheme,
        "engine": manifest.engine,
        "compressor": manifest.compressor,
        "seconds": round(artefact.seconds, 3),
        "plan": artefact.plan.as_dict(),
    }


def _rows(artefact: Artefact) -> list[tuple[str, str]]:
    facts = summary(artefact)
    share = facts["output_bytes"] / max(facts["source_bytes"], 1)
    return [
        ("size", f"{size(facts['source_bytes'])} → {size(facts['output_bytes'])} ({share:.0%})"),
        ("bits per weight", f"{artefact.manifest.bits_per_weight:.2f}"),
        ("scheme", scheme.Scheme(**artefact.manifest.scheme).describe()),
        ("engine", f"{artefact.manifest.engine}, compressor {artefact.manifest.compressor}"),
        ("time", duration(artefact.seconds)),
    ]
