"""`edgeconv demo`: the whole way, from a checkpoint to an answer, with the model that comes along."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..core.errors import ArtifactError
from .options import Verbose
from .output import Output, duration, size

if TYPE_CHECKING:
    from ..convert import conversion

QUESTIONS = ("日本的首都是哪里？", "What is 4 + 3?", "What is the capital of Italy?")


def demo(
    output: Annotated[Path, typer.Option("--output", "-o", metavar="DIR", help="Where the result goes.")] = Path(
        "edgeconv-demo"
    ),
    force: Annotated[bool, typer.Option("--force", help="Replace another converted model that is there.")] = False,
    verbose: Verbose = False,
) -> None:
    """Convert the built-in model to int4, ask it three questions, and show the sizes.

    Needs neither a download nor a token. What an earlier demo wrote is replaced.
    """
    from .. import builtin
    from ..convert import conversion
    from ..quantize.scheme import Request

    out = Output(verbose=verbose)
    model = builtin.model_path()
    job = conversion.Job(
        model=str(model),
        request=Request("int4"),
        output=output,
        force=force or _is_earlier_demo(output, model),
        smoke_test=False,  # it answers questions next
    )
    with out.working() as progress:
        artifact = conversion.run(job, progress)
    _ask(out, artifact.path)
    _show_sizes(out, artifact)


def _is_earlier_demo(output: Path, model: Path) -> bool:
    """Whether the folder holds a conversion of the built-in model, and of nothing else."""
    from ..core.digest import sha256_file
    from ..core.manifest import read_manifest

    try:
        made_from = read_manifest(output).source.files
    except ArtifactError:
        return False
    weights = "model.safetensors"
    return weights in made_from and made_from[weights].sha256 == sha256_file(model / weights)


def _ask(out: Output, folder: Path) -> None:
    from ..runtimes.openvino_genai import Chat, Sampling
    from .chat_session import answer

    with out.working():
        conversation = Chat(folder, sampling=Sampling(max_new_tokens=64, temperature=0))
    for question in QUESTIONS:
        conversation.reset()
        out.result(f"\n> {question}")
        sys.stdout.flush()
        answer(conversation, question, verbose=out.verbose)


def _show_sizes(out: Output, artifact: conversion.Artifact) -> None:
    manifest = artifact.manifest
    before, after = manifest.source.files, manifest.outputs
    weights = sum(file.size for name, file in before.items() if name.endswith(".safetensors"))
    stored = sum(entry.bytes for entry in manifest.tensors)
    out.result("")
    out.table(
        ["", "Checkpoint", "OpenVINO int4"],
        [
            ["Weights", size(weights), size(stored)],
            ["Bits per weight", f"{8 * weights / manifest.source.parameters:.2f}", f"{manifest.bits_per_weight:.2f}"],
            ["Whole folder", size(sum(f.size for f in before.values())), size(sum(f.size for f in after.values()))],
        ],
        right=(1, 2),
    )
    out.result(f"\nConverted in {duration(artifact.seconds)}. Talk to it: edgeconv chat {artifact.path}")
