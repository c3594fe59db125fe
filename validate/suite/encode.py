"""A suite as token ids: windows of bounded length, and a bounded number of tokens if asked."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from ...core.errors import CheckpointError, UsageError
from .model import Document, Message, Suite

WINDOW = 512
"""Tokens of one pass: long enough for attention to matter, short enough for logits to be cheap."""
LEAST = 2
"""Tokens of a text, so that there is something to predict."""


@dataclass(frozen=True)
class EncodedDocument:
    """One window of a document.

    Attributes:
        name: the document's name, with "#2" and so on for the windows after the first.
        kind: "text", "chat" or "code".
        ids: token ids, at least 2, so that there is something to predict.
        document: the name without the window; windows of one document are not independent, which a bootstrap has to know.
    """

    name: str
    kind: str
    ids: list[int]
    document: str


def encode(
    suite: Suite, tokenizer: Any, max_tokens: int | None = None, *, window: int = WINDOW
) -> list[EncodedDocument]:
    """Encode every document with a tokenizer of transformers.

    Args:
        suite: the documents; chats go through the tokenizer's chat template, or are joined as text where it has none.
        tokenizer: the reference's.
        max_tokens: take no more; each text then gives the same share of its tokens, from its beginning.
        window: the most tokens of one pass. A longer document is cut into windows of even length.

    Raises:
        UsageError: the tokenizer makes nothing of a document, or `max_tokens` leaves nothing.
    """
    encoded = [(document, _ids(document, tokenizer)) for document in suite.documents]
    if max_tokens is not None:
        encoded = _bounded(encoded, max_tokens)
    windows = [piece for document, ids in encoded for piece in _windows(document, ids, window)]
    if not windows:
        raise UsageError(f"The suite {suite.name} gives no tokens.", "Ask for more tokens, or give a longer suite.")
    return windows


def require(documents: Iterable[EncodedDocument], tokens: int) -> None:
    """Raise UsageError if the documents have fewer than `tokens` tokens: figures of less would look like figures of more."""
    found = sum(len(document.ids) for document in documents)
    if found < tokens:
        raise UsageError(f"The suite has {found:,} tokens; {tokens:,} were asked for.", "Give a longer suite.")


def _ids(document: Document, tokenizer: Any) -> list[int]:
    if document.messages is not None and getattr(tokenizer, "chat_template", None):
        ids = _chat_ids(document.messages, tokenizer, document.tools)
    else:
        text = document.text or "\n\n".join(message.content or "" for message in document.messages or ())
        ids = list(tokenizer(text)["input_ids"])
    if len(ids) < LEAST:
        raise UsageError(f"The tokenizer makes {len(ids)} tokens of the document {document.name}.", "Leave it out.")
    return ids


def _chat_ids(messages: Sequence[Message], tokenizer: Any, tools: Sequence[dict[str, Any]] | None = None) -> list[int]:
    """Render a chat; a template that refuses system messages (Gemma's older ones) gets them before the first question."""
    from jinja2 import TemplateError

    turns = [message.turn for message in messages]
    more: dict[str, Any] = {"tools": list(tools)} if tools else {}
    try:
        return list(tokenizer.apply_chat_template(turns, tokenize=True, return_dict=True, **more)["input_ids"])
    except (TemplateError, CheckpointError):
        system = [turn["content"] for turn in turns if turn["role"] == "system"]
        rest = [turn for turn in turns if turn["role"] != "system"]
        if not system or not rest:
            raise
        rest[0] |= {"content": "\n\n".join([*system, rest[0]["content"]])}
        return list(tokenizer.apply_chat_template(rest, tokenize=True, return_dict=True, **more)["input_ids"])


def _bounded(encoded: Sequence[tuple[Document, list[int]]], limit: int) -> list[tuple[Document, list[int]]]:
    """Take the same share of every text, from its beginning, `limit` tokens in all.

    Texts are cut, not dropped: figures of few texts say little. Where not each can keep LEAST tokens, texts are taken that stand
    evenly spread over the suite.
    """
    total = sum(len(ids) for _, ids in encoded)
    if total <= limit:
        return list(encoded)
    count = min(len(encoded), limit // LEAST)
    chosen = [encoded[number * len(encoded) // count] for number in range(count)]
    sizes = [LEAST] * count
    # what is left goes to the texts by their lengths; whatever a share leaves as a fraction goes to the next
    spare, weights = limit - LEAST * count, [len(ids) - LEAST for _, ids in chosen]
    given, before = 0, 0
    for number, weight in enumerate(weights):
        before += weight
        upto = spare * before // max(1, sum(weights))
        sizes[number] += upto - given
        given = upto
    return [(document, ids[:size]) for (document, ids), size in zip(chosen, sizes, strict=True)]


def _windows(document: Document, ids: list[int], window: int) -> Iterable[EncodedDocument]:
    count = -(-len(ids) // window)
    for number in range(count):
        name = document.name if number == 0 else f"{document.name}#{number + 1}"
        part = ids[len(ids) * number // count : len(ids) * (number + 1) // count]
        yield EncodedDocument(name, document.kind, part, document.name)
