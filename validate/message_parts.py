"""Messages whose content is a list of parts, as the templates of vision-language models want it."""

from __future__ import annotations

from typing import Any


def in_parts(message: dict[str, Any]) -> dict[str, Any]:
    """Make a plain string one part of text."""
    content = message["content"]
    return message | {"content": [{"type": "text", "text": content}]} if isinstance(content, str) else message
