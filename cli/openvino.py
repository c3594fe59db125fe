"""`edgeconv openvino`: a checkpoint becomes an OpenVINO IR."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..core.errors import UsageError
from ..quantize import data_aware, device, scheme
from ..study.calibration import OWN
from . import conversion
from .options import Json, Quiet, Verbose, choice
from .output import Output
from .validate import Budgets

if TYPE_CHECKING:
    from ..convert import conversion as pipeline


def openvino(
    *,
    model: conversion.Model,
    precision: Annotated[
        str,
        typer.Option("--precision", "-p", click_type=choice(scheme.PRECISIONS), help="What the weights become."),
    ] = "int4",
    group_size: Annotated[
        int | None,
        typer.Option(metavar="N", help="Weights of a row that share one scale; -1: the whole row."),
    ] = None,
    group_size_fallback: conversion.Fallback = None,
    ratio: conversion.Ratio = None,
    sym: conversion.Sym = None,
    backup_precision: Annotated[
        str | None,
        typer.Option(click_type=choice(scheme.BACKUPS), help="What embeddings, last layer and the rest become."),
    ] = None,
    all_layers: conversion.AllLayers = None,
    tensor_precision: conversion.TensorPrecision = None,
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
    kv_cache: Annotated[
        str | None,
        typer.Option(
            click_type=choice(scheme.KV_CACHES),
            help="What the artifact asks of the device for keys and values: float16, or what it does by itself. Left out: "
            "float16 if the weights stay floats, or if the keys have a bias, which eight bits may not hold.",
        ),
    ] = None,
    vision_precision: conversion.VisionPrecision = None,
    revision: conversion.Revision = None,
    output: conversion.Folder = None,
    force: conversion.Force = False,
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
        typer.Option(click_type=choice(("auto", "nncf")), help="Who quantizes: whichever is fastest, or NNCF itself."),
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
            help="Files around a vision-language model: as optimum-intel names them, or so that VLMPipeline runs it.",
        ),
    ] = "optimum",
    local_files_only: conversion.LocalFilesOnly = False,
    validate: Annotated[
        bool,
        typer.Option(
            "--validate",
            help="Then measure whether the result is still its checkpoint, as `edgeconv validate` does, and write the "
            "report to OUT/parity. Exits with 3 if it is not.",
        ),
    ] = False,
    budget: Budgets = None,
    smoke_test: conversion.SmokeTest = None,
    dry_run: conversion.DryRun = False,
    json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Convert a chat checkpoint to an OpenVINO IR with its tokenizer.

    The folder that results loads in OVModelForCausalLM, openvino_genai.LLMPipeline and plain openvino. A private or
    gated repository needs a token: set HF_TOKEN or log in with `hf auth login`.
    """
    from ..convert import conversion as pipeline

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
        tensor_precision=tuple(tensor_precision or ()),
        kv_cache=kv_cache,
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
        smoke_test=smoke_test,
        calibrator=OWN,
    )
    if validate and layout != "optimum":
        raise UsageError(
            "--validate measures the optimum layout.", "Validate that one: the weights of both are the same."
        )
    if dry_run:
        conversion.show_plan(out, partial(pipeline.plan, job))
        return
    limits = conversion.limits(budget, validate=validate)
    conversion.carry_out(out, partial(pipeline.run, job), limits, more=_more)


def _more(artifact: pipeline.Artifact) -> dict[str, Any]:
    manifest = artifact.manifest
    return {
        "calibration": manifest.calibration.model_dump() if manifest.calibration else None,
        "vision_scheme": conversion.vision_scheme(artifact),
        "row_order": manifest.row_order,
    }
