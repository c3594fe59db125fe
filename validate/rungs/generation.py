"""Rung 5: greedy answers, compared by token ids.

The reference does not decode: one teacher-forced pass over what the artefact generated finds the first position at which
the reference would have chosen another token. Generations of small compressed models part sooner or later, so parting is
reported, not failed; the rung fails if nothing was generated, or if an answer departs at once where the reference was sure.

The user's own pipeline, which has a template, a tokenizer, a cache and an attention of its own, must choose as the artefact
itself does, approximations off and in one prefill: each of its tokens, those of a second turn too, is held against the
artefact's best, and one that lies further below it than the approximations' noise is a failure.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ..head import Head
from ..report.model import GenerationPair, Rung
from ..runtimes.base import Runtime
from ..runtimes.turns import Turn

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
    turn: int = 1
    regrets: tuple[float, ...] = ()
    """Of a pipeline's tokens: how far below the artefact's best logit, approximations off, the chosen one lies."""

    @property
    def prompt(self) -> str:
        """The prompt as a report shows it."""
        return " / ".join(message["content"] for message in self.messages if message["role"] != "system")

    @property
    def ids(self) -> list[int]:
        """Prompt and answer."""
        return self.prompt_ids + self.made


def of_turns(turns: Sequence[Turn], pipeline: str, runtime: Runtime) -> list[Answer]:
    """Hold what a pipeline made against the artefact itself, in one prefill a turn.

    Args:
        turns: the pipeline's.
        pipeline: its name.
        runtime: the artefact, approximations off.
    """
    found = []
    for turn in turns:
        own = turn.runtime or pipeline
        name = own if turn.number == 1 else f"{own}, turn {turn.number}"
        ids, regrets = [*turn.ids, *turn.made], []
        if turn.made:
            logits = np.concatenate([made.copy() for made in runtime.logits(ids[:-1])])[-len(turn.made) :]
            regrets = (logits.max(1) - logits[np.arange(len(logits)), turn.made]).tolist()
        found.append(Answer(turn.messages, turn.ids, turn.made, name, turn.number, tuple(regrets)))
    return found


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


def judge(
    found: Sequence[GenerationPair],
    plain: Sequence[Answer],
    again: Sequence[Answer],
    seconds: float,
    *,
    noise: float = 0.0,
    decode: Callable[[Sequence[int]], str] = str,
) -> Rung:
    """Sum up: the share of exact answers, the share of tokens before the parting.

    Args:
        found: every answer beside the reference's choices.
        plain: answers of the bare runtime.
        again: answers of a pipeline to the first prompts of `plain`, and its second turn.
        seconds: what it took.
        noise: how far below the best logit approximations may choose (`Answer.regrets`).
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
    failures += [f"{a.runtime} generated nothing for {a.prompt[:60]!r}" for a in again if not a.made]
    failures += [failure for a in again if (failure := _strays(a, noise, decode))]
    made = {tuple(a.ids) for a in plain}
    same = sum(a.turn == 1 and tuple(a.ids) in made for a in again)
    summary = (
        f"{exact} of {len(own)} greedy answers are the reference's own; "
        f"{before} of {tokens} tokens come before the first difference"
    )
    regret = max((r for a in again for r in a.regrets), default=0.0)
    if again:
        first = sum(a.turn == 1 for a in again)
        pipelines = list(dict.fromkeys(a.runtime for a in again if a.turn == 1))
        summary += f"; {', '.join(pipelines)}: the same tokens in {same} of {first}"
        summary += f", at most {regret:.2g} below the artefact's best logit (noise {noise:.2g})"
    return Rung(
        name="generation",
        status="failed" if failures else "passed",
        summary=summary,
        failures=failures,
        figures={
            "exact_share": exact / len(own) if own else float("nan"),
            "tokens_before_divergence": before / tokens if tokens else float("nan"),
            **({"pipeline_same_share": same / max(1, first), "pipeline_regret": regret} if again else {}),
        },
        seconds=seconds,
    )


def _strays(answer: Answer, noise: float, decode: Callable[[Sequence[int]], str]) -> str | None:
    """Say where a pipeline chooses what the artefact itself would not, or return None; a NaN is no choice either."""
    at = next((i for i, regret in enumerate(answer.regrets) if not regret <= noise), None)
    if at is None:
        return None
    return (
        f"{answer.runtime} answers {answer.prompt[:60]!r} with {decode([answer.made[at]])!r} as token {at + 1}, which the "
        f"artefact itself, in one prefill, has {answer.regrets[at]:.3g} below its best; {noise:.2g} is noise"
    )
