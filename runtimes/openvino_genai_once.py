"""Greedy answers of `openvino_genai.LLMPipeline`: what a user runs, from the messages to the ids of the answer.

It renders the chat template, tokenizes and decodes by itself, and its attention is not the plain runtime's.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..core.errors import ArtifactError
from .answers import require_bounded_template
from .openvino import ACCURATE
from .turns import Messages, Turn, second

NAME = "openvino_genai"


def answer(folder: Path, device: str, prompts: Sequence[Messages], count: int) -> list[Turn]:
    """Answer each prompt with at most `count` tokens, reference precision; and as a chat the last one and a question behind it.

    The chat goes through `ChatHistory`, as users have it, on the cache that its first answer has left.

    Raises:
        ArtifactError: the pipeline does not load the folder, or fails.
    """
    import openvino_genai

    found = []
    try:
        pipeline = openvino_genai.LLMPipeline(str(folder), device, **ACCURATE)
        tokenizer, config = pipeline.get_tokenizer(), pipeline.get_generation_config()
        config.max_new_tokens, config.do_sample = count, False
        config.repetition_penalty = 1.0  # a greedy choice is the model's own
        config.num_beams = 1
        for messages in prompts:
            require_bounded_template(tokenizer, folder, messages)
            encoded = _encode(tokenizer, messages)
            made = pipeline.generate(encoded, config).tokens[0]
            found.append(Turn(messages, _ids(encoded), list(made)))
        if found and tokenizer.chat_template:
            found.append(_second(pipeline, config, found[-1].messages, folder))
    except RuntimeError as error:
        reason = next((line.strip() for line in reversed(str(error).splitlines()) if line.strip()), "")
        raise ArtifactError(
            f"openvino_genai cannot run {folder}: {reason}.", "Convert the checkpoint again."
        ) from error
    return found


def _second(pipeline: Any, config: Any, messages: Messages, folder: Path) -> Turn:
    """Answer a conversation, then a question behind the answer; return the second turn."""
    import openvino_genai

    class Tokens(openvino_genai.StreamerBase):  # type: ignore[misc]
        """Hears of token ids; an answer to a history is text alone."""

        def __init__(self) -> None:
            super().__init__()
            self.ids: list[int] = []

        def write(self, token: Any) -> Any:
            self.ids += [token] if isinstance(token, int) else list(token)
            return openvino_genai.StreamingStatus.RUNNING

        def end(self) -> None:
            pass

    history = openvino_genai.ChatHistory()
    for message in messages:
        history.append(message)
    first = pipeline.generate(history, config).texts[0]
    further = second(messages, first)
    for message in further[-2:]:
        history.append(message)
    tokenizer, heard = pipeline.get_tokenizer(), Tokens()
    require_bounded_template(tokenizer, folder, further)
    pipeline.generate(history, config, heard)
    return Turn(further, _ids(_encode(tokenizer, further)), heard.ids, 2)


def _ids(encoded: Any) -> list[int]:
    ids: list[int] = np.array(encoded.input_ids.data)[0].tolist()
    return ids


def _encode(tokenizer: Any, messages: Messages) -> Any:
    if tokenizer.chat_template:
        text = tokenizer.apply_chat_template(messages, add_generation_prompt=True)
        return tokenizer.encode(text, add_special_tokens=False)
    return tokenizer.encode(messages[-1]["content"])
