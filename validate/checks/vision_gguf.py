"""The vision checks of a GGUF: pixels, rows and merged prompts, as llama.cpp makes them.

Errors are told apart as with logits. A row's error is over its size, and a picture's the mean of its rows'; the two rows that
begin and end it are looked at by themselves, for of two rows among hundreds a mean says little:

conversion    llama.cpp on the mmproj in float32, beside torch on the same weights in llama.cpp's arithmetic
quantization  the same, beside torch on the checkpoint's weights in llama.cpp's arithmetic
runtime       llama.cpp on the mmproj as it is and with its defaults, beside the first
noise floor   torch in bfloat16 beside torch in float32, both on the checkpoint in the model's own arithmetic
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from .. import budget
from ..report.model import BudgetLine, Check

Array = npt.NDArray[Any]
READING = 1e-4
"""Largest difference of two pixels that are the same: reading them out of llama.cpp errs by 1e-5, a step of one of 255 levels is
some 8e-3."""
_CHANNELS = ("red", "green", "blue")


def row_errors(made: Array, expected: Array) -> Array:
    """Return each row's error over its size, both as RMS: [rows] of two float32 [rows, hidden]."""
    difference = made.astype(np.float64) - expected
    size = np.sqrt(np.mean(np.square(expected, dtype=np.float64), axis=1))
    errors: Array = np.sqrt(np.mean(difference**2, axis=1)) / np.maximum(size, 1e-30)
    return errors


def worst(made: Sequence[Array], expected: Sequence[Array]) -> float:
    """Return the largest error of a row of any picture; NaN where the shapes differ, or a value is not a number."""
    found = [float(row_errors(a, b).max()) if a.shape == b.shape else float("nan") for a, b in _pairs(made, expected)]
    return float(np.max(found)) if found else float("nan")  # np.max keeps a NaN


def typical(made: Sequence[Array], expected: Sequence[Array]) -> float:
    """Return the mean error of the rows of the picture where it is largest; NaN as `worst`.

    Of thousands of rows the worst one says more about their number than about a file.
    """
    found = [float(row_errors(a, b).mean()) if a.shape == b.shape else float("nan") for a, b in _pairs(made, expected)]
    return float(np.max(found)) if found else float("nan")


def marks(made: Sequence[Array], expected: Sequence[Array]) -> float:
    """Return the largest error of the rows that begin and end a picture: learned ones, which no arithmetic touches."""
    return worst([rows[[0, -1]] for rows in made], [rows[[0, -1]] for rows in expected])


def pixels(made: Sequence[Array] | None, expected: Sequence[Array], names: Sequence[str], started: float) -> Check:
    """Compare pixels of pictures that need no resizing, each float32 [3, S, S]; None: they could not be read out."""
    if made is None:
        reason = "llama.cpp's pixels cannot be read out: the language model is too narrow, or the picture's side odd."
        return Check(name="pixels", status="skipped", summary=reason)
    failures, largest = [], 0.0
    for name, a, b in zip(names, made, expected, strict=True):
        if a.shape != b.shape:
            failures.append(f"{name}: llama.cpp makes {list(a.shape)} values of it, the reference {list(b.shape)}.")
            continue
        difference = np.abs(a - b)
        largest = float(np.maximum(largest, difference.max()))
        if not difference.max() <= READING:
            channel, row, column = (int(i) for i in np.unravel_index(np.argmax(difference), a.shape))
            share = (difference.max(0) > READING).mean()
            failures.append(
                f"{name}: {share:.1%} of the pixels differ; {_CHANNELS[channel]} at row {row}, column {column} is "
                f"{a[channel, row, column]:.4f} instead of {b[channel, row, column]:.4f}."
            )
    if not names:
        failures.append("The suite has no pictures.")
    summary = f"{len(names)} pictures of the tower's size give the reference's pixels in llama.cpp, to {largest:.0e}."
    return as_check("pixels", failures, {"pictures": float(len(names)), "max_abs": largest}, summary, started)


def tower(
    figures: dict[str, float], bits: int, pictures: int, started: float, budgets: list[budget.Budget] | None = None
) -> tuple[Check, list[BudgetLine]]:
    """Judge the rows by their budgets.

    Args:
        figures: by the names in `budget.rows`, and the noise floor.
        bits: of the mmproj's weights.
        pictures: how many.
        started: `time.perf_counter` then.
        budgets: those that apply; None: all.
    """
    limits = budget.rows(bits) if budgets is None else budgets
    lines = budget.judge_figures(limits, {f"vision.{name}": value for name, value in figures.items()})
    failures = [
        f"{line.metric} is {line.value:.3g}, the budget {line.limit:g} ({line.reason})."
        for line in lines
        if not line.passed
    ]
    summary = (
        f"{pictures} pictures: rows are {figures['row_quantisation']:.1e} off the reference's in llama.cpp's arithmetic, "
        f"{figures['row_conversion']:.1e} of it by the graph; bfloat16 alone makes {figures['row_noise_floor']:.1e}"
    )
    return as_check("vision", failures, figures, summary, started), lines


def merged(
    chunks: Sequence[list[dict[str, Any]]], prompts: Sequence[list[int]], names: Sequence[str], placeholder: int
) -> Check:
    """Compare the sequence of chunks with the reference's prompt: ids before, places of the picture, ids behind.

    Args:
        chunks: of each prompt, by the file's own template and tokenizer (`llama_cpp_vision_process.chunk_list`).
        prompts: ids by the checkpoint's, a placeholder for each row of a picture.
        names: of the pictures.
        placeholder: its id.
    """
    started = time.perf_counter()
    failures = []
    for name, made, ids in zip(names, chunks, prompts, strict=True):
        for chunk in made:
            if chunk.get("positions", chunk.get("tokens")) != chunk.get("tokens"):
                failures.append(f"{name}: {chunk['tokens']} rows move on by {chunk['positions']} positions.")
        found, wanted = _sequence(made), _split(ids, placeholder)
        if found != wanted:
            failures.append(f"{name}: llama.cpp reads {_shown(found)}, the checkpoint {_shown(wanted)}.")
    summary = f"{len(prompts)} prompts: the same ids before and behind the picture, and as many places for it."
    return as_check("merged", failures, {"prompts": float(len(prompts))}, summary, started)


def _sequence(chunks: Sequence[dict[str, Any]]) -> list[list[int] | int]:
    """Return ids of text, and rows of pictures; empty texts left out, neighboring ones joined."""
    made: list[list[int] | int] = []
    for chunk in chunks:
        if "tokens" in chunk:
            made.append(int(chunk["tokens"]))
        elif chunk["ids"]:
            if made and isinstance(made[-1], list):
                made[-1] = [*made[-1], *chunk["ids"]]
            else:
                made.append(list(chunk["ids"]))
    return made


def _split(ids: Sequence[int], placeholder: int) -> list[list[int] | int]:
    made: list[list[int] | int] = []
    for token in ids:
        last = made[-1] if made else None
        if token == placeholder:
            if isinstance(last, int):
                made[-1] = last + 1
            else:
                made.append(1)
        elif isinstance(last, list):
            last.append(token)
        else:
            made.append([token])
    return made


def _shown(sequence: Sequence[list[int] | int]) -> str:
    return " + ".join(f"{one} places" if isinstance(one, int) else f"{len(one)} ids {one[:8]}" for one in sequence)


def _pairs(made: Sequence[Array], expected: Sequence[Array]) -> zip[tuple[Array, Array]]:
    return zip(made, expected, strict=True)


def as_check(name: Any, failures: list[str], figures: dict[str, float], summary: str, started: float) -> Check:
    """Return a check that fails by its first failure; `started` is `time.perf_counter` then."""
    return Check(
        name=name,
        status="failed" if failures else "passed",
        summary=failures[0] if failures else summary,
        failures=failures[:5],
        figures=figures,
        seconds=time.perf_counter() - started,
    )
