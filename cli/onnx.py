"""`edgeconv onnx`: a checkpoint becomes an ONNX model for onnxruntime."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..quantize import scheme
from . import conversion
from .options import Json, Quiet, Verbose, choice
from .output import Output
from .validate import Budgets

if TYPE_CHECKING:
    from ..convert.conversion import Artifact

PRECISIONS = ("int4", "int4_sym", "int4_asym", "int8", "int8_sym", "int8_asym", "bf16", "fp16", "fp32")
BACKUPS = ("none", "int8_sym", "int8_asym")


def onnx(
    *,
    model: conversion.Model,
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
    group_size_fallback: conversion.Fallback = None,
    ratio: conversion.Ratio = None,
    sym: conversion.Sym = None,
    backup_precision: Annotated[
        str | None,
        typer.Option(click_type=choice(BACKUPS), help="What embeddings, last layer and the rest become."),
    ] = None,
    all_layers: conversion.AllLayers = None,
    tensor_precision: conversion.TensorPrecision = None,
    vision_precision: conversion.VisionPrecision = None,
    engine: Annotated[
        str,
        typer.Option(
            click_type=choice(("auto", "stream", "trace")),
            help="How the graph is made: built and streamed, exported by torch from transformers' model, or whichever can.",
        ),
    ] = "auto",
    accuracy_level: Annotated[
        str,
        typer.Option(
            click_type=choice(("0", "1", "4")),
            help="What onnxruntime multiplies int4 weights in: 4: int8, which is fastest; 1: float32; 0: as it likes.",
        ),
    ] = "4",
    revision: conversion.Revision = None,
    output: conversion.Folder = None,
    force: conversion.Force = False,
    local_files_only: conversion.LocalFilesOnly = False,
    validate: Annotated[
        bool,
        typer.Option(
            "--validate",
            help="Then measure in onnxruntime whether the result is still its checkpoint, as `edgeconv validate` does, and "
            "write the report to OUT/parity. Exits with 3 if it is not.",
        ),
    ] = False,
    budget: Budgets = None,
    smoke_test: conversion.SmokeTest = None,
    dry_run: conversion.DryRun = False,
    json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Convert a chat checkpoint to an ONNX model with its tokenizer, in one pass.

    The folder that results runs in onnxruntime, with the inputs and outputs that optimum's ORTModelForCausalLM reads, and in
    onnxruntime-genai. GLM-Edge-V becomes three models, named as transformers.js names such parts. Weights have the very values
    that `edgeconv openvino` gives them; int4 is MatMulNBits, an operator of onnxruntime's, all else is standard ONNX (opset 21).
    The graphs of the known families are built here; those of other decoders of text that transformers implements are exported by
    torch around stand-ins for the weights, which are bound to them afterwards (--engine). No code of a checkpoint's is ever run.
    A private or gated repository needs a token: set HF_TOKEN or log in with `hf auth login`.
    """
    from ..convert import conversion as pipeline

    request = scheme.Request(
        precision=precision,
        group_size=group_size,
        group_size_fallback=group_size_fallback,
        ratio=ratio,
        sym=sym,
        backup_precision=backup_precision,
        all_layers=all_layers,
        tensor_precision=tuple(tensor_precision or ()),
    )
    job = pipeline.OnnxJob(
        model=model,
        request=request,
        revision=revision,
        output=output,
        force=force,
        engine=engine,
        accuracy_level=int(accuracy_level),
        vision_precision=vision_precision,
        local_files_only=local_files_only,
        smoke_test=smoke_test,
    )
    limits = conversion.limits(budget, validate=validate)
    out = Output(json=json, quiet=quiet, verbose=verbose)
    if dry_run:
        conversion.show_plan(out, partial(pipeline.plan, job))
    else:
        conversion.carry_out(out, partial(pipeline.run, job), limits, more=_more)


def _more(artifact: Artifact) -> dict[str, Any]:
    return {"files": sorted(artifact.manifest.outputs), "vision_scheme": conversion.vision_scheme(artifact)}
