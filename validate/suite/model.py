"""What a suite is: named documents and prompts, with a digest of all of it."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

Kind = Literal["text", "chat", "code"]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Message(_Model):
    """One turn of a conversation."""

    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: str | None = None
    name: str | None = None
    tool_calls: tuple[dict[str, Any], ...] | None = None
    tool_call_id: str | None = None
    reasoning_content: str | None = None

    @model_validator(mode="after")
    def _says_something(self) -> Message:
        if self.content is None and not self.tool_calls:
            raise ValueError("a message has content, or tool_calls")
        return self

    @property
    def turn(self) -> dict[str, Any]:
        """The message as a chat template gets it: with the keys that it has."""
        return {
            "role": self.role,
            "content": self.content,
            **self.model_dump(exclude={"role", "content"}, exclude_none=True),
        }


class Document(_Model):
    """One text, or one whole conversation, perhaps with the tools that it is offered.

    `language` is a label for people ("en", "zh", "python"); it may be empty.
    """

    name: str
    kind: Kind
    language: str = ""
    text: str | None = None
    messages: tuple[Message, ...] | None = None
    tools: tuple[dict[str, Any], ...] | None = None

    @model_validator(mode="after")
    def _one_content(self) -> Document:
        if (self.text is None) == (self.messages is None):
            raise ValueError("a document has either text or messages")
        if (self.messages is not None) != (self.kind == "chat"):
            raise ValueError("a document of kind chat has messages, one of another kind has text")
        if self.text is not None and not self.text.strip():
            raise ValueError("the text is empty")
        if self.messages is not None and not any((m.content or "").strip() or m.tool_calls for m in self.messages):
            raise ValueError("the messages are empty")
        if self.tools and self.messages is None:
            raise ValueError("tools belong to messages")
        return self


class Picture(_Model):
    """A picture and what is asked of it; only a vision-language model needs them. `sha256` is that of the file."""

    name: str
    question: str
    sha256: str
    path: Path = Field(exclude=True)


class Suite(_Model):
    """A whole suite. Loading it has checked that nothing in it is empty."""

    name: str
    documents: tuple[Document, ...]
    prompts: tuple[tuple[Message, ...], ...]
    pictures: tuple[Picture, ...] = ()

    @property
    def digest(self) -> str:
        """SHA-256 of the content, whatever form it was read from; the name is not part of it."""
        content = _without_none(self.model_dump(mode="json", exclude={"name"}))
        text = json.dumps(content, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


_LATER = ("name", "tool_calls", "tool_call_id", "reasoning_content", "tools")
"""Keys that a digest knows only where they are used, so that suites without them keep theirs."""


def _without_none(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_none(one) for key, one in value.items() if one is not None or key not in _LATER}
    return [_without_none(one) for one in value] if isinstance(value, list) else value
