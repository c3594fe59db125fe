"""What a user's pipeline answers: turns of conversations, the later ones read on from the cache of those before."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

Messages = list[dict[str, str]]
FOLLOW_UP = "Please say that again, in one sentence."
"""What is asked in a second turn; a model need not heed it."""


@dataclass(frozen=True)
class Turn:
    """One answer.

    Attributes:
        messages: the conversation that it answers.
        ids: of the whole prompt, as the pipeline's own template and tokenizer make it.
        made: ids of the answer.
        number: 1, or 2 for one that read on from the cache of the first.
        runtime: the pipeline, where an artifact has several; empty: the format's first.
    """

    messages: Messages
    ids: list[int]
    made: list[int]
    number: int = 1
    runtime: str = ""


def converse(
    prompts: Sequence[Messages],
    encode: Callable[[Messages], list[int]],
    answer: Callable[[list[int], bool], list[int]],
    decode: Callable[[list[int]], str] | None,
) -> list[Turn]:
    """Answer each prompt from an empty cache, and behind the last one a second question from the cache as it is.

    Args:
        prompts: conversations that end with a question.
        encode: a conversation to the ids of a prompt.
        answer: ids of a prompt to those of its answer; True: reading on from the cache.
        decode: ids of an answer to its text; None: there is no template, and so no second turn.
    """
    turns: list[Turn] = []
    for messages in prompts:
        ids = encode(messages)
        turns.append(Turn(messages, ids, answer(ids, False)))
    if turns and decode is not None:
        further = second(turns[-1].messages, decode(turns[-1].made))
        ids = encode(further)
        turns.append(Turn(further, ids, answer(ids, True), 2))
    return turns


def second(messages: Messages, answer: str) -> Messages:
    """Return a conversation with its answer, and the next question."""
    return [*messages, {"role": "assistant", "content": answer}, {"role": "user", "content": FOLLOW_UP}]
