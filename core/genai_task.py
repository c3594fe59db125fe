"""What the worker does in openvino_genai: render a chat template by its own Jinja, which only the end of a process stops.

Loaded by `worker_child` alone.
"""

from __future__ import annotations

import functools
import sys
from typing import Any

sys.modules["openvino_telemetry"] = None  # type: ignore[assignment] # no statistics leave the machine

import openvino_genai  # noqa: E402


def genai(
    folder: str, messages: list[dict[str, Any]], prompted: bool, tools: list[Any] | None, options: dict[str, Any] | None
) -> str:
    """Return the prompt of a conversation."""
    return str(
        _tokenizer(folder).apply_chat_template(
            messages, add_generation_prompt=prompted, tools=tools, extra_context=options
        )
    )


@functools.lru_cache(maxsize=1)
def _tokenizer(folder: str) -> Any:
    return openvino_genai.Tokenizer(folder)
