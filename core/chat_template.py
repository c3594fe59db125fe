"""Chat templates: programs that come with a checkpoint, rendered in a sandbox, in a process that can be killed (`worker`).

Jinja's sandbox keeps a template away from Python; it does not keep it from running for ever, or from filling the memory.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from . import worker
from .worker import Worker, WorkerFault

SECONDS = 10.0
"""CPU that one rendering may take; a real one takes milliseconds."""
MEMORY = 1 << 30
"""Bytes that the worker may grow by while it renders."""
LONGEST = 4_000_000
"""Characters of a template; the longest known one has 40,000."""
_GENAI_MEMORY = 16 << 30
"""Bytes of address space for openvino_genai, which reserves more than it uses."""
_GENAI_SECONDS = 3
"""Its Jinja is no faster, and the first rendering loads the tokenizer: so many times `SECONDS`."""


class TemplateFault(ValueError):  # noqa: N818 - the template's, not ours
    """It cannot be read or rendered; the message says why, without a full stop.

    Attributes:
        limit: it runs for ever or makes something huge; otherwise it only refuses what it was given.
    """

    def __init__(self, message: str, *, limit: bool = False) -> None:
        super().__init__(message)
        self.limit = limit


class ChatTemplate:
    """A template that compiles."""

    def __init__(self, text: str) -> None:
        """Compile it.

        Raises:
            TemplateFault: it is not a template.
        """
        if len(text) > LONGEST:
            raise TemplateFault(f"it has {len(text):,} characters, more than any template needs", limit=True)
        self._text = text
        _ask("compile", text=text)

    def render(self, **values: Any) -> str:
        """Return the text.

        Raises:
            TemplateFault: it refuses these values, or does what no template needs.
        """
        return str(_ask("render", text=self._text, values=values))


_PLAIN = [
    {"role": role, "content": text}
    for role, text in (("system", "Be brief."), ("user", "Hello"), ("assistant", "Hello!"), ("user", "Go on"))
]
_IN_PARTS = [{**turn, "content": [{"type": "text", "text": turn["content"]}]} for turn in _PLAIN]


def require_bounded(text: str, conversation: list[dict[str, Any]] | None = None) -> None:
    """Render a conversation within limits; what else may be wrong with a template is its user's to find out.

    Args:
        text: the template.
        conversation: its messages; None: some plain ones.

    Raises:
        TemplateFault: it runs for ever, or makes something huge.
    """
    if conversation:
        _require_bounded(text, [conversation])
    else:
        _require_bounded_plainly(text)


@functools.lru_cache(maxsize=16)
def _require_bounded_plainly(text: str) -> None:
    """Render the plain conversations; a text that passed is not rendered again."""
    _require_bounded(text, [_PLAIN[1:2], _PLAIN, _IN_PARTS])


def _require_bounded(text: str, conversations: list[list[dict[str, Any]]]) -> None:
    template = None
    for messages in conversations:
        try:
            template = template or ChatTemplate(text)
            template.render(messages=messages, tools=None, documents=None, add_generation_prompt=True)
        except TemplateFault as fault:
            if fault.limit:
                raise


@functools.lru_cache(maxsize=16)
def same(one: str, other: str) -> bool:
    """True if two templates are one program, however it is written; a text that is not a template is only itself."""
    if one == other:
        return True
    try:
        return bool(_ask("same", one=one, other=other))
    except TemplateFault:  # rendering says what is wrong
        return False


def names(text: str) -> tuple[set[str], set[str], set[str]]:
    """Return the variables that a template reads and sets nowhere, those that it sets, and those that it asks for (`is defined`).

    Raises:
        TemplateFault: it is not a template.
    """
    read, stored, asked = (set(found) for found in _ask("names", text=text))
    return read, stored, asked


@contextlib.contextmanager
def limited() -> Iterator[None]:
    """Let what transformers renders in the body be rendered by the worker, with transformers' own settings (`template_task`).

    Raises:
        TemplateFault: from transformers' calls in the body.
    """
    from transformers.utils import chat_template_utils

    theirs: Any = chat_template_utils
    before = theirs._compile_jinja_template
    theirs._compile_jinja_template = ChatTemplate
    try:
        yield
    finally:
        theirs._compile_jinja_template = before


_genai = Worker()


def render_in_genai(
    folder: Path,
    messages: list[dict[str, Any]],
    *,
    prompted: bool = True,
    tools: list[Any] | None = None,
    options: dict[str, Any] | None = None,
) -> str:
    """Return what openvino_genai's own Jinja makes of a conversation, in a process that can be killed.

    Args:
        folder: of the tokenizer's IR.
        messages: the conversation.
        prompted: with the opening of the next answer.
        tools: as the template takes them.
        options: other variables of the template.

    Raises:
        TemplateFault: it refuses the conversation, or runs against a limit.
    """
    content = {"folder": str(folder.resolve()), "messages": messages, "prompted": prompted, "tools": tools}
    try:
        return str(
            _genai.ask("genai", seconds=SECONDS * _GENAI_SECONDS, memory=_GENAI_MEMORY, **content, options=options)
        )
    except WorkerFault as fault:
        raise TemplateFault(str(fault), limit=fault.limit) from fault


def _ask(task: str, **content: Any) -> Any:
    try:
        return worker.ask(task, seconds=SECONDS, memory=MEMORY, **content)
    except WorkerFault as fault:
        raise TemplateFault(str(fault), limit=fault.limit) from fault
