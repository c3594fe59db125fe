"""Greedy answers of `openvino_genai.LLMPipeline`: what a user runs, from the messages to the ids of the answer.

It renders the chat template, tokenizes and decodes by itself, and its attention is not the plain runtime's.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ...core.errors import ArtefactError
from .answers import require_bounded_template
from .openvino import ACCURATE

NAME = "openvino_genai"


def answer(
    folder: Path, device: str, prompts: Sequence[list[dict[str, str]]], count: int
) -> list[tuple[list[int], list[int]]]:
    """Answer each prompt with at most `count` tokens, approximations off.

    Returns:
        For each prompt the ids that the pipeline made of it, and those of its answer.

    Raises:
        ArtefactError: the pipeline does not load the folder, or fails.
    """
    import openvino_genai

    found = []
    try:
        pipeline = openvino_genai.LLMPipeline(str(folder), device, **ACCURATE)
        tokenizer, config = pipeline.get_tokenizer(), pipeline.get_generation_config()
        config.max_new_tokens, config.do_sample = count, False
        config.repetition_penalty = 1.0  # a greedy choice is the model's own
        for messages in prompts:
            require_bounded_template(tokenizer, folder, messages)
            encoded = _encode(tokenizer, messages)
            made = pipeline.generate(encoded, config).tokens[0]
            found.append((np.array(encoded.input_ids.data)[0].tolist(), list(made)))
    except RuntimeError as error:
        reason = next((line.strip() for line in reversed(str(error).splitlines()) if line.strip()), "")
        raise ArtefactError(
            f"openvino_genai cannot run {folder}: {reason}.", "Convert the checkpoint again."
        ) from error
    return found


def _encode(tokenizer: Any, messages: list[dict[str, str]]) -> Any:
    if tokenizer.chat_template:
        text = tokenizer.apply_chat_template(messages, add_generation_prompt=True)
        return tokenizer.encode(text, add_special_tokens=False)
    return tokenizer.encode(messages[-1]["content"])
