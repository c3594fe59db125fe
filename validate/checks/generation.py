"""Check 5: greedy answers, compared by token ids.

The reference does not decode: one teacher-forced pass over what the artifact generated finds the first position at which
the reference would have chosen another token. Generations of small compressed models part sooner or later, so parting is
reported, not failed; the check fails if nothing was generated, or if an answer departs at once where the reference was sure.

The user's own pipeline, which has a template, a tokenizer, a cache and an attention of its own, must choose as the artifact
itself does (`pipelines`): each of its tokens, those of a second turn too, is held against the artifact's best; its prompt and its
end against the checkpoint's.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

import numpy as np
import numpy.typing as npt

from ..head import Head
from ..report.model import Check, GenerationPair
from . import pipelines
from .answer import Answer
from .template_texts import CLOCK

Array = npt.NDArray[Any]
SURE = 5.0
"""Gap of the reference's two best logits, in nats, beyond which another first token is no accident."""


def prompt_ids(tokenizer: Any, messages: list[dict[str, str]], moment: datetime | None = None) -> list[int]:
    """Return the ids of a conversation, by the chat template; of its last message if the model has none.

    Args:
        tokenizer: transformers'.
        messages: the conversation.
        moment: what a template takes for now that asks for the date; None: the real clock.
    """
    if getattr(tokenizer, "chat_template", None):
        clock = {} if moment is None else {CLOCK: moment.isoformat()}
        made = tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_dict=True, **clock)
        return list(made["input_ids"])
    return list(tokenizer(messages[-1]["content"])["input_ids"])


def pairs(
    answers: Sequence[Answer], head: Head, states: Sequence[Array], decode: Callable[[Sequence[int]], str], noise: float
) -> list[GenerationPair]:
    """Find where each answer leaves the reference's choices.

    Args:
        answers: the artifact's.
        head: of the reference.
        states: the reference's final hidden states over each answer's ids.
        decode: ids to text.
        noise: what bfloat16 alone does to the difference of two logits; a gap below it is a near tie.
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
                runtime=answer.runtime,
                **extra,
            )
        )
    return found


def judge(
    found: Sequence[GenerationPair],
    plain: Sequence[Answer],
    again: Sequence[Answer],
    seconds: float,
    *,
    noise: float = 0.0,
    tie: float = 0.0,
    listed: bool = False,
    decode: Callable[[Sequence[int]], str] = str,
) -> Check:
    """Sum up: the share of exact answers, the share of tokens before the parting.

    Args:
        found: every answer beside the reference's choices.
        plain: answers of the bare runtime.
        again: answers of a pipeline to the first prompts of `plain`, and its second turn.
        seconds: what it took.
        noise: how far below the best logit approximations may choose at most (`Answer.regrets`).
        tie: how far apart two logits may lie and be one, for this graph.
        listed: a defect of the engine was met in templates or tokens, so that its prompts and ends may be others.
        decode: ids to text.
    """
    own = [pair for pair in found if not pair.runtime]
    tokens = sum(p.tokens for p in own)
    before = sum(p.tokens if p.divergence is None else p.divergence for p in own)
    exact = sum(p.divergence is None for p in own)
    failures = [
        f"{p.prompt[:60]!r}{f' in {p.runtime}' if p.runtime else ''}: begins with {p.artefact_token!r} where the "
        f"reference is sure of {p.reference_token!r}"
        for p in found
        if p.divergence == 0 and (p.gap or 0) > SURE
    ]
    if not own or tokens == 0:
        failures = ["nothing was generated"]
    faults, warnings = pipelines.judge(again, noise, tie, decode, listed=listed)
    failures += faults
    summary = (
        f"{exact} of {len(own)} greedy answers are the reference's own; "
        f"{before} of {tokens} tokens come before the first difference"
    )
    beside, figures = _beside(plain, again, noise) if again else ("", {})
    return Check(
        name="generation",
        status="failed" if failures else "passed",
        summary=summary + beside,
        failures=failures,
        warnings=warnings,
        figures={
            "exact_share": exact / len(own) if own else float("nan"),
            "tokens_before_divergence": before / tokens if tokens else float("nan"),
            **figures,
        },
        seconds=seconds,
    )


def _beside(plain: Sequence[Answer], again: Sequence[Answer], noise: float) -> tuple[str, dict[str, float]]:
    """Say how near a pipeline's answers are to those of the bare runtime: in words, and as figures."""
    made = {tuple(a.ids) for a in plain}
    first = [a for a in again if a.turn == 1]
    same = sum(tuple(a.ids) in made for a in first)
    regret = max((r for a in again for r in a.regrets), default=0.0)
    names = ", ".join(dict.fromkeys(a.runtime for a in first))
    words = (
        f"; {names}: the same tokens in {same} of {len(first)}, at most {regret:.2g} below the artifact's best logit "
        f"(noise {noise:.2g})"
    )
    return words, {"pipeline_same_share": same / max(1, len(first)), "pipeline_regret": regret}
