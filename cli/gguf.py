"""`edgeconv gguf`: a checkpoint becomes a GGUF for llama.cpp."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..core.errors import UsageError
from ..study.calibration import OWN
from . import conversion
from .options import Json, Quiet, Verbose, choice
from .output import Output
from .validate import Budgets

if TYPE_CHECKING:
    from ..convert.conversion import Artifact

VISION_PRECISIONS = ("fp16", "int8", "fp32", "none")
PRECISIONS = ("int4", "int8", "bf16", "fp16", "fp32")


def gguf(
    *,
    model: conversion.Model,
    precision: Annotated[
        str | None,
        typer.Option(
            "--precision",
            "-p",
            click_type=choice(PRECISIONS),
            help="What the weights become: int4 is q4_k_m, int8 is q8_0. int4 if neither this nor --type is given.",
        ),
    ] = None,
    type_: Annotated[
        str | None,
        typer.Option(
            "--type",
            "-t",
            metavar="TYPE",
            help="The same by llama.cpp's name of the mix: f32, f16, bf16, q8_0, q4_0, q4_1, q5_0, q5_1, q2_k, q3_k_s, q3_k_m, "
            "q3_k_l, q4_k_s, q4_k_m, q5_k_s, q5_k_m, q6_k, iq4_nl, iq4_xs.",
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="DIR|FILE",
            help="Where the result goes: a folder, or a file if it ends in .gguf; its manifest then lies beside it.",
            show_default=False,
        ),
    ] = None,
    revision: conversion.Revision = None,
    force: conversion.Force = False,
    pure: Annotated[
        bool, typer.Option("--pure", help="Give every matrix the same type, the mix's own exceptions too.")
    ] = False,
    leave_output_tensor: Annotated[
        bool, typer.Option("--leave-output-tensor", help="Leave output.weight as the checkpoint stores it.")
    ] = False,
    output_type: Annotated[str | None, typer.Option(metavar="TYPE", help="What output.weight becomes.")] = None,
    token_embedding_type: Annotated[
        str | None, typer.Option(metavar="TYPE", help="What token_embd.weight becomes.")
    ] = None,
    tensor_type: Annotated[
        list[str] | None,
        typer.Option(
            metavar="REGEX=TYPE",
            help="What tensors become in whose names the expression is found, e.g. ffn_down=q6_k. The first that is found "
            "decides. Repeatable.",
        ),
    ] = None,
    imatrix: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Weigh errors by the importance matrix that llama-imatrix wrote to this file, or by one that is computed on "
            "this text (.txt, .md, .jsonl of chats).",
        ),
    ] = None,
    vision_precision: Annotated[
        str | None,
        typer.Option(
            click_type=choice(VISION_PRECISIONS),
            help="What the weights of a vision encoder become, in a file mmproj-*.gguf of its own; fp16 if not given. none: the "
            "language model alone.",
        ),
    ] = None,
    split_max_size: Annotated[
        str | None,
        typer.Option(metavar="N(K|M|G)", help="Write several files, each with at most so many bytes of tensors."),
    ] = None,
    pre: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="llama.cpp's name of the tokenizer's splitting, if it cannot be found out."),
    ] = None,
    local_files_only: conversion.LocalFilesOnly = False,
    validate: Annotated[
        bool,
        typer.Option(
            "--validate",
            help="Then measure in llama.cpp whether the result is still its checkpoint, as `edgeconv validate` does, and write "
            "the report to OUT/parity, or beside the file. Exits with 3 if it is not.",
        ),
    ] = False,
    budget: Budgets = None,
    smoke_test: conversion.SmokeTest = None,
    dry_run: conversion.DryRun = False,
    json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Convert a chat checkpoint to a GGUF for llama.cpp, in one pass.

    Every tensor has the very bytes that llama.cpp's own quantizer would give it. The mixes and --pure, --leave-output-tensor,
    --output-type (--output-tensor-type there), --token-embedding-type and --tensor-type mean what they mean to llama-quantize.
    A private or gated repository needs a token: set HF_TOKEN or log in with `hf auth login`.
    """
    from ..convert import conversion as pipeline
    from ..convert.gguf.recipe import recipe
    from ..recipes import options

    if precision and type_:
        raise UsageError("--precision and --type contradict each other.", "Pass one of them.")
    chosen = recipe(
        type_ or precision or "int4",
        pure=pure,
        leave_output=leave_output_tensor,
        output_type=output_type,
        token_embedding_type=token_embedding_type,
        tensor_types=tuple(map(options.tensor_type, tensor_type or ())),
    )
    job = pipeline.GgufJob(
        model=model,
        calibrator=OWN,
        recipe=chosen,
        revision=revision,
        output=output,
        force=force,
        imatrix=imatrix,
        vision_precision=vision_precision,
        split_max_size=options.byte_count(split_max_size),
        pre=pre,
        local_files_only=local_files_only,
        smoke_test=smoke_test,
    )
    limits = conversion.limits(budget, validate=validate)  # before the conversion: a wrong one must not cost an hour
    out = Output(json=json, quiet=quiet, verbose=verbose)
    if dry_run:
        conversion.show_plan(out, partial(pipeline.plan, job))
    else:
        conversion.carry_out(out, partial(pipeline.run, job), limits, more=_more, rows=_rows)


def _more(artifact: Artifact) -> dict[str, Any]:
    return {"files": sorted(artifact.manifest.outputs)}


def _rows(artifact: Artifact) -> list[tuple[str, str]]:
    from ..convert.conversion import format_of

    manifest = artifact.manifest
    return [("types", format_of(manifest).describe(manifest.scheme)), ("quantizer", manifest.compressor)]
