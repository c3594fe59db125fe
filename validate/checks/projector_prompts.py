"""Merged prompts of a GGUF with a projector: llama.cpp's chunks beside what the checkpoint's processor makes."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ..multimodal.processor import Made
from ..report.model import Check
from .vision_gguf import as_check

Array = npt.NDArray[Any]
_TILED = 5
"""Dimensions of the pixels of a prompt whose pictures are tiles."""
_PICTURE = -1
"""What stands for a place of a picture in a prompt."""


def merged(
    chunks: Sequence[Sequence[dict[str, Any]]],
    prompts: Sequence[Made],
    positions: Sequence[Array],
    names: Sequence[str],
    *,
    placeholder: int,
    between: frozenset[int],
) -> Check:
    """Compare ids of text, places of pictures, and how far each picture moves the positions on.

    Args:
        chunks: of each prompt, by the file's own template and tokenizer (`llama_cpp_vision_process.chunk_list`).
        prompts: by the checkpoint's processor.
        positions: of their tokens, int64 [n] or [axes, n].
        names: of the prompts.
        placeholder: the token of a picture's row.
        between: tokens whose rows llama.cpp makes among a picture's.
    """
    started = time.perf_counter()
    failures = []
    for name, made, prompt, where in zip(names, chunks, prompts, positions, strict=True):
        found, wanted = _sequence(made), _with_pictures(prompt.ids, placeholder, between)
        if found != wanted:
            failures.append(f"{name}: llama.cpp reads {_shown(found, wanted)}.")
        count, last = sum(_moves(chunk) for chunk in made), int(np.max(where)) + 1
        if count != last:
            failures.append(f"{name}: llama.cpp counts {count} positions, the model {last}.")
    summary = f"{len(prompts)} prompts: the same ids, as many places for pictures, and the same positions behind them."
    return as_check("merged", failures, {"prompts": float(len(prompts))}, summary, started)


def between(ids: Sequence[int], placeholder: int, others: frozenset[int]) -> npt.NDArray[np.bool_]:
    """Tell of each row that llama.cpp makes of a prompt's pictures whether it is of a token between the model's rows."""
    found = np.array(ids, np.int64)[places(ids, placeholder, others)]
    return np.asarray(found != placeholder)


def kept(prompt: Made, count: int, pictures: int) -> npt.NDArray[np.bool_]:
    """Tell of each of the model's rows whether neither side resizes what it is of: of tiles, but not of the whole behind them.

    Args:
        prompt: by the checkpoint's processor.
        count: of rows.
        pictures: of the prompt, all of as many tiles.
    """
    pixels = prompt.arrays["pixel_values"]
    if pixels.ndim != _TILED:
        return np.ones(count, bool)
    tiles = pixels.shape[1] // pictures
    flags = np.array([*[True] * (tiles - 1), tiles == 1] * pictures)
    return np.repeat(flags, count // len(flags))


def places(ids: Sequence[int], placeholder: int, others: frozenset[int]) -> npt.NDArray[np.int64]:
    """Return the places of pictures in a prompt."""
    return np.flatnonzero(np.isin(np.array(ids, np.int64), [placeholder, *others])).astype(np.int64)


def _moves(chunk: dict[str, Any]) -> int:
    return int(chunk["positions"]) if "tokens" in chunk else len(chunk["ids"])


def _sequence(chunks: Sequence[dict[str, Any]]) -> list[int]:
    made: list[int] = []
    for chunk in chunks:
        made += [_PICTURE] * int(chunk["tokens"]) if "tokens" in chunk else list(chunk["ids"])
    return made


def _with_pictures(ids: Sequence[int], placeholder: int, others: frozenset[int]) -> list[int]:
    return [_PICTURE if token == placeholder or token in others else token for token in ids]


def _shown(found: Sequence[int], wanted: Sequence[int]) -> str:
    first = next(
        (i for i, (a, b) in enumerate(zip(found, wanted, strict=False)) if a != b), min(len(found), len(wanted))
    )
    counts = [f"{sum(token == _PICTURE for token in one)} places among {len(one)} tokens" for one in (found, wanted)]
    here = [str(list(one[first : first + 4])).replace("-1", "a place") for one in (found, wanted)]
    return f"{counts[0]}, the checkpoint {counts[1]}; at {first} they are {here[0]} and {here[1]}"
