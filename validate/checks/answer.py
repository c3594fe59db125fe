"""A greedy answer of the artifact, or of a user's pipeline, as ids."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Answer:
    """A prompt (as messages and as the ids that the runtime was fed) and the ids that a runtime made of it.

    The rest is of a pipeline's answers, by `pipelines`; a regret is how far below the best logit the chosen one lies.

    Attributes:
        messages: the conversation.
        prompt_ids: the whole prompt.
        made: ids of the answer.
        runtime: the pipeline; empty: the bare runtime.
        turn: 1, or 2 for a second question.
        regrets: of each token, to the artifact in one prefill, reference precision.
        own: of each token, to the artifact in the pipeline's own arithmetic and steps.
        spread: what that arithmetic differs by from itself at each token.
        end: of the best end behind an answer that ended early and without one.
        faults: what is wrong besides, as predicates.
        optional: it is not the format's own pipeline.
    """

    messages: list[dict[str, str]]
    prompt_ids: list[int]
    made: list[int]
    runtime: str = ""
    turn: int = 1
    regrets: tuple[float, ...] = ()
    own: tuple[float, ...] = ()
    spread: tuple[float, ...] = ()
    end: float = 0.0
    faults: tuple[str, ...] = ()
    optional: bool = False

    @property
    def prompt(self) -> str:
        """The prompt as a report shows it."""
        return " / ".join(message["content"] for message in self.messages if message["role"] != "system")

    @property
    def ids(self) -> list[int]:
        """Prompt and answer."""
        return self.prompt_ids + self.made
