"""`edgeconv bench`: how fast a converted model runs here, beside its reference."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..core.option import into
from ..study.options import BenchOptions
from .declared import takes
from .output import Output

if TYPE_CHECKING:
    from ..study.bench import Result, Side

HEADER = ("task", "stored as", "framework", "1st token ms", "tokens/s", "peak GB", "load s")


@takes(BenchOptions)
def bench(asked: BenchOptions, out: Output) -> None:
    """Measure first-token latency, token rate, peak memory and loading time on this machine.

    The artifact runs in openvino_genai, onnxruntime or llama.cpp with its defaults, then its checkpoint in torch with bfloat16
    weights, each in a process of its own. The first token counts from the prompt's ids, or from a picture's pixels; the rate is
    that of the tokens after the first; the peak is the resident memory of the whole process. Close other programs first.
    """
    from ..study.bench import TASKS, Ask, Task, bench

    tasks = tuple(map(Task.parse, asked.task)) or TASKS
    ask = Ask(**into(asked, Ask), with_reference=not asked.no_reference, tasks=tasks)
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
    for side in (found.artifact, *([found.reference] if found.reference else [])):
        if side.words_bytes is not None:
            more = (side.peak_bytes - side.words_bytes) / 1e9
            out.say(
                f"{side.framework}: {side.words_bytes / 1e9:.2f} GB before a picture was shown, {more:.2f} GB more with it"
            )
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
