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

from ..head import Head
from ..report.model import GenerationPair, Rung

Array = npt.NDArray[Any]
SURE = 5.0
"""Gap of the reference's two best logits, in nats, beyond which another first token is no accident."""


@dataclass(frozen=True)
class Answer:
    """A prompt (as messages and as the ids that the runtime was fed) and the ids that a runtime made of it."""

    messages: list[dict[str, str]]
    prompt_ids: list[int]
    made: list[int]
    runtime: str = ""

    @property
    def prompt(self) -> str:
        """The prompt as a report shows it."""
        return " / ".join(message["content"] for message in self.messages if message["role"] != "system")

    @property
    def ids(self) -> list[int]:
        """Prompt and answer."""
        return self.prompt_ids + self.made


def prompt_ids(tokenizer: Any, messages: list[dict[str, str]]) -> list[int]:
    """Return the ids of a conversation, by the chat template; of its last message if the model has none."""
    if getattr(tokenizer, "chat_template", None):
        made = tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_dict=True)
        return list(made["input_ids"])
    return list(tokenizer(messages[-1]["content"])["input_ids"])


def pairs(
    answers: Sequence[Answer], head: Head, states: Sequence[Array], decode: Callable[[Sequence[int]], str], noise: float
) -> list[GenerationPair]:
    """Find where each answer leaves the reference's choices.

    Args:
        answers: the artefact's.
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


def judge(found: Sequence[GenerationPair], plain: Sequence[Answer], again: Sequence[Answer], seconds: float) -> Rung:
    """Sum up: the share of exact answers, the share of tokens before the parting.

    Args:
        found: every answer beside the reference's choices.
        plain: answers of the bare runtime.
        again: answers of a pipeline to the first prompts of `plain`.
        seconds: what it took.
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
    failures += [f"{a.runtime} generated nothing for {a.prompt[:60]!r}" for a in again if not a.made]
    same = sum(a.ids == b.ids for a, b in zip(plain, again, strict=False))
    summary = (
        f"{exact} of {len(own)} greedy answers are the reference's own; "
        f"{before} of {tokens} tokens come before the first difference"
    )
    if again:
        summary += f"; {again[0].runtime} gives the same tokens in {same} of {len(again)}"
    return Rung(
        name="generation",
        status="failed" if failures else "passed",
        summary=summary,
        failures=failures,
        figures={
            "exact_share": exact / len(own) if own else float("nan"),
            "tokens_before_divergence": before / tokens if tokens else float("nan"),
            **({"pipeline_same_share": same / len(again)} if again else {}),
        },
        seconds=seconds,
    )
