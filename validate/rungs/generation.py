"""Rung 5: greedy answers, compared by token ids.

The reference does not decode: one teacher-forced pass over what the artefact generated finds the first position at which
the reference would have chosen another token. Generations of small compressed models part sooner or later, so parting is
reported, not failed; the rung fails if nothing was generated, or if an answer departs at once where the reference was sure.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ..reference import Head
from ..report.model import GenerationPair, Rung

Array = npt.NDArray[Any]
SURE = 5.0
"""Gap of the reference's two best logits, in nats, beyond which another first token is no accident."""


@dataclass(frozen=True)
class Answer:
    """A prompt (as text and ids) and what the artefact made of it."""

    prompt: str
    prompt_ids: list[int]
    made: list[int]

    @property
    def ids(self) -> list[int]:
        """Prompt and answer."""
        return self.prompt_ids + self.made


def pairs(
    answers: Sequence[Answer], head: Head, states: Sequence[Array], decode: Callable[[Sequence[int]], str], noise: float
) -> list[GenerationPair]:
    """Find where each answer leaves the reference's choices.

    Args:
        answers: the artefact's.
        head: of the reference.
        states: the reference's final hidden states over each answer's ids.
        decode: ids to text.
        noise: max |Δlogit| of bfloat16 alone; a gap below it is a near tie.
    """
    found = []
    for answer, hidden in zip(answers, states, strict=True):
        logits = head.logits(hidden[len(answer.prompt_ids) - 1 : -1])
        chosen = logits.argmax(1).tolist()
        parting = next((i for i, (a, b) in enumerate(zip(answer.made, chosen, strict=True)) if a != b), None)
        extra: dict[str, Any] = {}
        reference_text = decode(answer.made)
        if parting is not None:
            best = np.sort(logits[parting])[-2:]
            gap = float(best[1] - best[0])
            extra = {
                "divergence": parting,
                "reference_token": decode([chosen[parting]]),
                "artefact_token": decode([answer.made[parting]]),
                "gap": gap,
                "near_tie": gap <= noise,
            }
            reference_text = decode([*answer.made[:parting], chosen[parting]]) + " …"
        found.append(
            GenerationPair(
                prompt=answer.prompt,
                artefact_text=decode(answer.made),
                reference_text=reference_text,
                tokens=len(answer.made),
                **extra,
            )
        )
    return found


def judge(found: Sequence[GenerationPair], seconds: float) -> Rung:
    """Sum up: the share of exact answers, the share of tokens before the parting."""
    tokens = sum(p.tokens for p in found)
    before = sum(p.tokens if p.divergence is None else p.divergence for p in found)
    exact = sum(p.divergence is None for p in found)
    failures = [
        f"{p.prompt[:60]!r}: begins with {p.artefact_token!r} where the reference is sure of {p.reference_token!r}"
        for p in found
        if p.divergence == 0 and (p.gap or 0) > SURE
    ]
    if not found or tokens == 0:
        failures = ["nothing was generated"]
    return Rung(
        name="generation",
        status="failed" if failures else "passed",
        summary=f"{exact} of {len(found)} greedy answers are the reference's own; "
        f"{before} of {tokens} tokens come before the first difference",
        failures=failures,
        figures={
            "exact_share": exact / len(found) if found else float("nan"),
            "tokens_before_divergence": before / tokens if tokens else float("nan"),
        },
        seconds=seconds,
    )
