"""`edgeconv bench`: how fast a converted model runs here, beside its reference."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .options import Device, Json, Quiet, Verbose
from .output import Output
from .validate import Reference

if TYPE_CHECKING:
    from ..study.bench import Result, Side

HEADER = ("task", "stored as", "framework", "1st token ms", "tokens/s", "peak GB", "load s")


def bench(
    artifact: Annotated[Path, typer.Argument(metavar="OUT", help="A converted model: the folder, or a .gguf.")],
    *,
    reference: Reference = None,
    no_reference: Annotated[bool, typer.Option("--no-reference", help="Measure the converted model only.")] = False,
    task: Annotated[
        list[str] | None,
        typer.Option(
            metavar="READ/MADE", help="Tokens to read and to make; 1024/128 and 512/128 if not given. Repeatable."
        ),
    ] = None,
    image: Annotated[
        Path | None, typer.Option(metavar="PATH", help="For a vision-language model: a picture to ask about as well.")
    ] = None,
    runs: Annotated[int, typer.Option(metavar="N", min=1, help="Runs of each task; their median counts.")] = 3,
    device: Device = "CPU",
    threads: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Threads on a CPU; one per core if not given.")
    ] = None,
    json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Measure first-token latency, token rate, peak memory and loading time on this machine.

    The artifact runs in openvino_genai, onnxruntime or llama.cpp with its defaults, then its checkpoint in torch with bfloat16
    weights, each in a process of its own. The first token counts from the prompt's ids, or from a picture's pixels; the rate is
    that of the tokens after the first; the peak is the resident memory of the whole process. Close other programs first.
    """
    from ..study.bench import TASKS, Ask, Task, bench

    out = Output(json=json, quiet=quiet, verbose=verbose)
    ask = Ask(
        artifact=artifact,
        reference=reference,
        with_reference=not no_reference,
        tasks=tuple(map(Task.parse, task)) if task else TASKS,
        image=image,
        runs=runs,
        device=device,
        threads=threads,
    )
    with out.working() as progress:
        found = bench(ask, progress)
    if out.json:
        out.data(found.as_dict())
    else:
        _show(out, found)


def _show(out: Output, found: Result) -> None:
    """Print the table of GLM-Edge's makers, the ratios below it."""
    rows = _rows(found.artifact) + (_rows(found.reference) if found.reference else [])
    for ratio in found.ratios():
        rows.append(
            (
                ratio["task"], "", "better by", f"{ratio['first']:.2f} ×", f"{ratio['tokens_per_second']:.2f} ×",
                f"{ratio['peak']:.2f} ×", "",
            )
        )  # fmt: skip
    out.table(HEADER, rows, right=(3, 4, 5, 6))
    for note in found.notes:
        out.say(f"note: {note}")
    out.say(f"{found.machine['processor']}, {found.machine['threads']} threads")


def _rows(side: Side) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = []
    for row in side.rows:
        first = f"{row.first_ms:,.1f}" + (f" (tower {row.vision_ms:,.1f})" if row.vision_ms is not None else "")
        rows.append(
            (
                row.task, side.stored_as, side.framework, first, f"{row.tokens_per_second:,.1f}",
                f"{side.peak_bytes / 1e9:.2f}", f"{side.load_seconds:.2f}",
            )
        )  # fmt: skip
    return rows
