"""`edgeconv openvino`: a checkpoint becomes an OpenVINO IR."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..core.errors import ExitCode, UsageError
from ..quantize import data_aware, device, scheme
from . import validate as parity
from .options import Json, Quiet, Verbose, choice
from .output import Output, duration, size
from .validate import Budgets

if TYPE_CHECKING:
    from .. import pipeline
    from ..validate.report.model import Report


def openvino(
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
        typer.Option("--precision", "-p", click_type=choice(scheme.PRECISIONS), help="What the weights become."),
    ] = "int4",
    group_size: Annotated[
        int | None,
        typer.Option(metavar="N", help="Weights of a row that share one scale; -1: the whole row."),
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
        typer.Option(click_type=choice(scheme.BACKUPS), help="What embeddings, last layer and the rest become."),
    ] = None,
    all_layers: Annotated[
        bool | None, typer.Option("--all-layers", help="Give embeddings and last layer the precision too.")
    ] = None,
    calibration: Annotated[
        str | None,
        typer.Option(
            metavar="FILE|suite",
            help="A text, or a JSONL of texts or chats, on which the methods below measure what the weights do; suite: one "
            "that comes with edgeconv. It may share nothing with what validations measure on.",
        ),
    ] = None,
    awq: Annotated[
        bool | None,
        typer.Option("--awq", help="Scale up columns that matter before rounding; without a text by their size alone."),
    ] = None,
    scale_estimation: Annotated[
        bool | None, typer.Option("--scale-estimation", help="Choose scales by what comes out of each layer.")
    ] = None,
    gptq: Annotated[
        bool | None,
        typer.Option("--gptq", help="Round column by column, and make good in the rest what each one loses."),
    ] = None,
    lora_correction: Annotated[
        bool | None,
        typer.Option("--lora-correction", help="Add to each layer a narrow one that makes good what rounding loses."),
    ] = None,
    sensitivity_metric: Annotated[
        str | None,
        typer.Option(
            click_type=choice(data_aware.METRICS),
            help="By what a ratio below 1 chooses the weights that get the precision.",
        ),
    ] = None,
    num_samples: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            help=f"Pieces of the calibration text that are measured on; {data_aware.NUM_SAMPLES} by default.",
        ),
    ] = None,
    target: Annotated[
        str | None,
        typer.Option(
            click_type=choice(device.TARGETS),
            help="The device that the result is for: what its documentation asks is the default, what contradicts it an error.",
        ),
    ] = None,
    vision_precision: Annotated[
        str | None,
        typer.Option(
            click_type=choice(scheme.VISION_PRECISIONS),
            help="What the weights of a tower that sees become; fp16 if they fit, beside a compressed model, else the model's.",
        ),
    ] = None,
    revision: Annotated[str | None, typer.Option(help="Branch, tag or commit of the Hub's repository.")] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="DIR", help="Where the result goes.", show_default=False)
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a converted model that is there already.")] = False,
    trust_remote_code: Annotated[
        bool, typer.Option("--trust-remote-code", help="Run Python code that comes with the checkpoint.")
    ] = False,
    engine: Annotated[
        str,
        typer.Option(
            click_type=choice(("auto", "stream", "trace")),
            help="How the graph is made: built and streamed, traced by optimum-intel, or whichever can.",
        ),
    ] = "auto",
    compressor: Annotated[
        str,
        typer.Option(click_type=choice(("auto", "nncf")), help="Who quantises: whichever is fastest, or NNCF itself."),
    ] = "auto",
    rope: Annotated[
        str,
        typer.Option(
            click_type=choice(("source", "fused")),
            help="Order of the rows of q and k: the checkpoint's, or the one that the CPU plugin can fuse.",
        ),
    ] = "source",
    layout: Annotated[
        str,
        typer.Option(
            click_type=choice(("optimum", "genai")),
            help="Files around a model that sees: as optimum-intel names them, or so that openvino_genai.VLMPipeline runs it.",
        ),
    ] = "optimum",
    local_files_only: Annotated[
        bool, typer.Option("--local-files-only", help="Use what was downloaded before; ask the Hub nothing.")
    ] = False,
    validate: Annotated[
        bool,
        typer.Option(
            "--validate",
            help="Then measure whether the result is still its checkpoint, as `edgeconv validate` does, and write the "
            "report to OUT/parity. Exits with 3 if it is not.",
        ),
    ] = False,
    budget: Budgets = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the plan and stop; no weight is read.")] = False,
    json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Convert a chat checkpoint to an OpenVINO IR with its tokenizer.

    The folder that results loads in OVModelForCausalLM, openvino_genai.LLMPipeline and plain openvino. A private or
    gated repository needs a token: set HF_TOKEN or log in with `hf auth login`.
    """
    from .. import pipeline

    out = Output(json=json, quiet=quiet, verbose=verbose)
    request = scheme.Request(
        precision=precision,
        group_size=group_size,
        group_size_fallback=group_size_fallback,
        ratio=ratio,
        sym=sym,
        backup_precision=backup_precision,
        all_layers=all_layers,
        calibration=calibration,
        awq=awq,
        scale_estimation=scale_estimation,
        gptq=gptq,
        lora_correction=lora_correction,
        sensitivity_metric=sensitivity_metric,
        num_samples=num_samples,
        target=target,
    )
    job = pipeline.Job(
        model=model,
        request=request,
        revision=revision,
        output=output,
        force=force,
        trust_remote_code=trust_remote_code,
        engine=engine,
        compressor=compressor,
        rope=rope,
        vision_precision=vision_precision,
        layout=layout,
        local_files_only=local_files_only,
    )
    if validate and layout != "optimum":
        raise UsageError(
            "--validate measures the optimum layout.", "Validate that one: the weights of both are the same."
        )
    if dry_run:
        with out.working() as progress:
            plan = pipeline.plan(job, progress)
        show_plan(out, plan)
        return
    limits = parity.limits(budget)  # before the conversion: a wrong one must not cost an hour
    if limits and not validate:
        raise UsageError("--budget is a limit of the validation.", "Add --validate.")
    with out.working() as progress:
        artefact = pipeline.run(job, progress)
    found = parity.of_new(out, artefact.path, limits) if validate else None
    show_artefact(out, artefact, found)
    if found and found.verdict == "failed":
        raise typer.Exit(ExitCode.PARITY)


def show_plan(out: Output, plan: pipeline.Plan) -> None:
    """Print the plan on stdout: it is what `--dry-run` was asked for; end as a run would that stops at a conflict."""
    from ..pipeline.conflicts import exit_code

    if out.json:
        out.data(plan.as_dict())
    else:
        out.pairs(plan.rows())
    if plan.conflicts:
        raise typer.Exit(exit_code(plan.conflicts))


def show_artefact(out: Output, artefact: pipeline.Artefact, found: Report | None = None) -> None:
    """Print the path on stdout and what became of the model, and of its validation, on stderr."""
    if out.json:
        out.data(summary(artefact) | (parity.brief(found, artefact.path) if found else {}))
        return
    if not out.quiet:
        out.pairs(_rows(artefact), stream=sys.stderr)
        if found:
            parity.show(out, found, parity.report_of(artefact.path), sys.stderr)
    out.result(str(artefact.path))


def summary(artefact: pipeline.Artefact) -> dict[str, Any]:
    """What `--json` answers after a conversion; the per-tensor table stays in the manifest."""
    manifest = artefact.manifest
    return {
        "output": str(artefact.path),
        "source_bytes": sum(file.size for file in manifest.source.files.values()),
        "output_bytes": sum(file.size for file in manifest.outputs.values()),
        "bits_per_weight": manifest.bits_per_weight,
        "scheme": manifest.scheme,
        "calibration": manifest.calibration.model_dump() if manifest.calibration else None,
        "vision_scheme": manifest.vision.scheme if manifest.vision else None,
        "engine": manifest.engine,
        "compressor": manifest.compressor,
        "row_order": manifest.row_order,
        "seconds": round(artefact.seconds, 3),
        "plan": artefact.plan.as_dict(),
    }


def _rows(artefact: pipeline.Artefact) -> list[tuple[str, str]]:
    facts = summary(artefact)
    share = facts["output_bytes"] / max(facts["source_bytes"], 1)
    vision = facts["vision_scheme"]
    return [
        ("size", f"{size(facts['source_bytes'])} → {size(facts['output_bytes'])} ({share:.0%})"),
        ("bits per weight", f"{artefact.manifest.bits_per_weight:.2f}"),
        ("scheme", scheme.Scheme(**artefact.manifest.scheme).describe()),
        *([("vision", scheme.Scheme(**vision).describe())] if vision else []),
        ("engine", f"{artefact.manifest.engine}, compressor {artefact.manifest.compressor}"),
        ("time", duration(artefact.seconds)),
    ]
