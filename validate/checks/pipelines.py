"""Of check 5: what a user's own pipeline answers, held token by token against the artifact itself.

A pipeline may choose otherwise than the artifact in one prefill for one good reason: it computes in fewer bits, where two tokens
nearly tie. So its tokens are held against two runs over the very ids that it made: reference precision, and in the arithmetic of
the pipeline, step by step as it went. A token is right if either has it at its best, but for what that arithmetic differs by from
itself at that position between a prefill and steps. A penalty, a sampler or a cache of another text is not rounding, and shows.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from ...runtimes.base import Runtime
from ...runtimes.turns import Messages, Turn
from .answer import Answer

Array = npt.NDArray[Any]
_DEVIATIONS = 4 * 2**0.5
"""How far two runs in one arithmetic may move two logits apart, in standard deviations of one logit: four of the difference."""


@dataclass(frozen=True)
class Expected:
    """What a pipeline is held to, beside the artifact's logits.

    Attributes:
        prompts: a conversation to the ids of its prompt, by the checkpoint; more than one where it may hold one date or another.
        stops: ids that end an answer, by the checkpoint.
        count: tokens of an answer at most.
    """

    prompts: Callable[[Messages], list[list[int]]]
    stops: Collection[int]
    count: int


def of_turns(turns: Sequence[Turn], pipeline: str, runtime: Runtime, expected: Expected) -> list[Answer]:
    """Hold what a pipeline made against the artifact itself, in one prefill a turn.

    Args:
        turns: the pipeline's.
        pipeline: its name.
        runtime: the artifact, reference precision.
        expected: what else it is held to.
    """
    found = []
    for turn in turns:
        own = turn.runtime or pipeline
        name = own if turn.number == 1 else f"{own}, turn {turn.number}"
        regrets, end = [], 0.0
        if turn.made:
            rows = _rows(runtime, [*turn.ids, *turn.made], None, len(turn.made) + 1)
            regrets = _regrets(rows[:-1], turn.made)
            end = _regret_of_ending(turn.made, rows[-1], expected)
        faults = _faults(turn, end, expected)
        found.append(
            Answer(turn.messages, turn.ids, turn.made, name, turn.number, tuple(regrets), end=end, faults=faults,
                   optional=bool(turn.runtime))
        )  # fmt: skip
    return found


def as_they_compute(answers: Sequence[Answer], runtime: Runtime) -> list[Answer]:
    """Add to each answer what its tokens are to a run in the pipeline's arithmetic, step by step.

    Args:
        answers: those of `of_turns`.
        runtime: the artifact in the arithmetic of the pipeline: reference precision, or the defaults of its device.
    """
    found = []
    for answer in answers:
        if not answer.made:
            found.append(answer)
            continue
        ids, count = answer.ids[:-1], len(answer.made)
        stepped = _rows(runtime, ids, (len(answer.prompt_ids), *[1] * count), count)
        apart = stepped - _rows(runtime, ids, None, count)
        spread = (apart - apart.mean(1, keepdims=True)).std(1) * _DEVIATIONS
        found.append(replace(answer, own=tuple(_regrets(stepped, answer.made)), spread=tuple(spread.tolist())))
    return found


def judge(
    answers: Sequence[Answer], cap: float, tie: float, decode: Callable[[Sequence[int]], str], *, listed: bool
) -> tuple[list[str], list[str]]:
    """Return what is wrong of a pipeline's answers, and what is only to be said of them, in sentences.

    Args:
        answers: with or without what `as_they_compute` adds.
        cap: how far below the accurate best any token may lie, whatever the reason.
        tie: how far apart two logits may lie and be one, for this graph.
        decode: ids to text.
        listed: a defect of the engine was met in templates or tokens: another prompt, or another end, may come of it.
    """
    failures: list[str] = []
    warnings: list[str] = []
    for answer in answers:
        asked = f"{answer.prompt[:60]!r}"
        if not answer.made:
            failures.append(f"{answer.runtime} generated nothing for {asked}")
        stray = _stray(answer, cap, tie)
        if stray:
            at, limit = stray
            failures.append(
                f"{answer.runtime} answers {asked} with {decode([answer.made[at]])!r} as token {at + 1}, which the artifact "
                f"itself, in one prefill, has {answer.regrets[at]:.3g} below its best; {limit:.2g} is noise"
            )
        besides = list(answer.faults)
        if not answer.end <= cap:
            besides.append(
                f"ends behind token {len(answer.made)}, where the artifact itself has every end {answer.end:.3g} below its best"
            )
        told = [f"{answer.runtime} {fault} (asked {asked})" for fault in besides]
        (warnings if listed or answer.optional else failures).extend(told)
    return failures, warnings


def _stray(answer: Answer, cap: float, tie: float) -> tuple[int, float] | None:
    """Return the first token that the artifact itself would not choose, and its limit; a NaN is no choice either."""
    for at, regret in enumerate(answer.regrets):
        limit = cap
        if answer.own and not answer.own[at] <= max(tie, answer.spread[at]):
            limit = min(cap, tie)
        if not regret <= limit:
            return at, limit
    return None


def _regret_of_ending(made: Sequence[int], behind: Array, expected: Expected) -> float:
    """Return how far the best end lies below the best logit behind an answer that ended before its limit without one."""
    stops = [token for token in expected.stops if token < len(behind)]
    if len(made) >= expected.count or made[-1] in expected.stops or not stops:
        return 0.0
    return float(behind.max() - behind[stops].max())


def _faults(turn: Turn, end: float, expected: Expected) -> tuple[str, ...]:
    """Return what is wrong of a prompt, and of an answer's end, as predicates of the pipeline's name."""
    found = []
    right = expected.prompts(turn.messages)
    if turn.ids not in right:
        wanted = right[0]
        at = next((i for i, (a, b) in enumerate(zip(turn.ids, wanted, strict=False)) if a != b), -1)
        at = min(len(turn.ids), len(wanted)) if at < 0 else at
        found.append(
            f"reads another prompt than the checkpoint makes: {len(turn.ids)} tokens for {len(wanted)}, token {at + 1} is "
            f"{_at(turn.ids, at)} for {_at(wanted, at)}"
        )
    passed = next((i for i, token in enumerate(turn.made[:-1]) if token in expected.stops), None)
    if passed is not None:
        found.append(f"goes on behind token {passed + 1}, {turn.made[passed]}, which ends an answer of the checkpoint")
    return tuple(found)


def _at(ids: Sequence[int], place: int) -> str:
    return str(ids[place]) if place < len(ids) else "none"


def _rows(runtime: Runtime, ids: Sequence[int], chunk: Any, count: int) -> Array:
    """Return the last `count` rows of logits, float32 [count, vocab]."""
    kept: list[Array] = []
    for made in runtime.logits(ids, chunk):
        kept = [*kept, made[-count:].copy()][-count:]
    return np.concatenate(kept)[-count:]


def _regrets(rows: Array, made: Sequence[int]) -> list[float]:
    found: list[float] = (rows.max(1) - rows[np.arange(len(made)), list(made)]).tolist()
    return found
