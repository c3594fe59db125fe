"""Chat templates: programs that come with a checkpoint, rendered in a sandbox, for a limited time and in limited memory.

Jinja's sandbox keeps a template away from Python; it does not keep it from running for ever, or from filling the memory.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from types import FrameType
from typing import Any

SECONDS = 10.0
"""CPU that one rendering may take; a real one takes milliseconds."""
MEMORY = 1 << 30
"""Bytes that a process may grow by while it renders."""
LARGEST = 1_000_000
"""Numbers that may be given to functions and filters, most of which make something of that length."""


class TemplateFault(ValueError):  # noqa: N818 - the template's, not ours
    """It cannot be read or rendered; the message says why, without a full stop."""


class ChatTemplate:
    """A compiled template."""

    def __init__(self, text: str) -> None:
        """Compile it.

        Raises:
            TemplateFault: it is no template.
        """
        try:
            self._template = environment().from_string(text)
        except Exception as error:  # Jinja's, and those of Python's compiler, which it calls
            raise TemplateFault(_sentence(error)) from error

    def render(self, **values: Any) -> str:
        """Return the text.

        Raises:
            TemplateFault: it refuses these values, or does what no template needs.
        """
        try:
            with _Limits():
                return str(self._template.render(**values))
        except Exception as error:  # it is a program: it may raise anything, and that is its fault
            raise TemplateFault(_sentence(error)) from error


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
    for messages in [conversation] if conversation else [_PLAIN[1:2], _PLAIN, _IN_PARTS]:
        try:
            ChatTemplate(text).render(messages=messages, tools=None, documents=None, add_generation_prompt=True)
        except TemplateFault as fault:
            if isinstance(fault.__cause__, TimeoutError | MemoryError | OverflowError | RecursionError):
                raise


@contextlib.contextmanager
def limited() -> Iterator[None]:
    """Let transformers render a template in the body for a limited time; past it, TimeoutError or MemoryError is raised."""
    with _Limits():
        yield


def _sentence(error: Exception) -> str:
    if isinstance(error, RecursionError):  # Python also says at what, which is another thing each time
        return "maximum recursion depth exceeded"
    text = (str(error).strip() or type(error).__name__).splitlines()[0]
    return text[:300].rstrip(".")


class _Limits:
    """Looks at clock and memory before each line of a template that this thread runs."""

    def __enter__(self) -> None:
        self._end = time.thread_time() + SECONDS
        self._most = _resident() + MEMORY
        self._before = sys.gettrace()
        sys.settrace(self._call)

    def __exit__(self, *_: object) -> None:
        sys.settrace(self._before)

    def _call(self, frame: FrameType, event: str, _: Any) -> Any:
        return self._line if frame.f_code.co_filename == "<template>" else None

    def _line(self, frame: FrameType, event: str, _: Any) -> Any:
        if time.thread_time() > self._end:
            raise TimeoutError(f"it runs for more than {SECONDS:.0f} s")
        if _resident() > self._most:
            raise MemoryError(f"it takes more than {MEMORY >> 20} MB")
        return self._line


def _resident() -> int:
    """Return the bytes that the process has in memory; 0 where the system does not say so in this way."""
    try:
        return int(Path("/proc/self/statm").read_bytes().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0


def environment() -> Any:
    """Return a sandbox, set up as `transformers.utils.chat_template_utils._cached_compile_jinja_template` does it."""
    from jinja2 import TemplateError, nodes
    from jinja2.ext import Extension
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    class Generation(Extension):
        """`{% generation %}` marks what a trainer learns; it writes nothing."""

        tags = {"generation"}  # noqa: RUF012 - Jinja's own form

        def parse(self, parser: Any) -> list[nodes.Node]:
            next(parser.stream)
            body: list[nodes.Node] = parser.parse_statements(("name:endgeneration",), drop_needle=True)
            return body

    class Bounded(ImmutableSandboxedEnvironment):
        """A sandbox in which no single operation makes something huge."""

        intercepted_binops = frozenset({"*", "**", "%"})

        def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
            _require_small(left, right) if operator == "**" else _require_short(operator, left, right)
            return super().call_binop(context, operator, left, right)

        def call(self, context: Any, called: Any, /, *arguments: Any, **named: Any) -> Any:
            _require_small(*arguments, *named.values())
            return super().call(context, called, *arguments, **named)

    def refuse(message: str) -> None:
        raise TemplateError(message)

    def to_json(value: Any, ensure_ascii: bool = False, **options: Any) -> str:
        return json.dumps(value, ensure_ascii=ensure_ascii, **options)

    environment = Bounded(trim_blocks=True, lstrip_blocks=True, extensions=[Generation, "jinja2.ext.loopcontrols"])
    environment.filters["tojson"] = to_json
    environment.filters = {name: _bounded(called) for name, called in environment.filters.items()}
    environment.globals["raise_exception"] = refuse
    environment.globals["strftime_now"] = lambda form: datetime.now().strftime(form)
    return environment


def _bounded(called: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(called)
    def checked(*arguments: Any, **named: Any) -> Any:
        _require_small(*arguments[1:], *named.values())
        return called(*arguments, **named)

    return checked


def _require_small(*arguments: Any) -> None:
    if any(isinstance(number, int | float) and abs(number) > LARGEST for number in arguments):
        raise OverflowError(f"it computes with a number over {LARGEST:,}")


def _require_short(operator: str, left: Any, right: Any) -> None:
    """A text times a number, and a text that is filled in with a width, may be of any length."""
    if operator == "%" and isinstance(left, str):
        raise TypeError("it formats with %")
    for repeated, count in ((left, right), (right, left)):
        if isinstance(repeated, str | list | tuple) and isinstance(count, int) and len(repeated) * count > LARGEST:
            raise OverflowError(f"it repeats something {count:,} times")
