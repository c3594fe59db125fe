"""What the worker does with chat templates, in Jinja's sandbox. Loaded by `worker_child` alone.

The sandbox keeps a template away from Python. Time and memory are the process's: what looks at sizes here only says
sooner, and in better words, what the system would refuse.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from datetime import datetime
from typing import Any

from jinja2 import Environment, Template, TemplateError, meta, nodes
from jinja2.ext import Extension
from jinja2.sandbox import ImmutableSandboxedEnvironment

LARGEST = 1_000_000
"""Numbers that may be given to functions and filters, most of which make something of that length."""
LONGEST = 16_000_000
"""Characters of a rendered text: the longest context of all models holds less."""
_DROPPED = ("lipsum", "cycler", "joiner")
"""Globals of Jinja that no chat template needs: one writes as much as it is asked to, all lead to Python's own objects."""


def compile(text: str) -> None:
    """Raise an error if a text is not a template."""
    _template(text)


def render(text: str, values: dict[str, Any]) -> str:
    """Return the rendered text; a `strftime_now` among the values is the moment, in ISO 8601, at which the clock stands."""
    moment = values.get("strftime_now")
    if isinstance(moment, str):
        values = {**values, "strftime_now": datetime.fromisoformat(moment).strftime}
    made = str(_template(text).render(**values))
    if len(made) > LONGEST:
        raise OverflowError(f"it writes {len(made):,} characters")
    return made


def same(one: str, other: str) -> bool:
    """True if two templates are one program, however it is written."""
    return bool(_environment().parse(one) == _environment().parse(other))


def names(text: str) -> list[list[str]]:
    """Return the variables that a template reads and sets nowhere, those that it sets, and those that it asks for."""
    parsed = _environment().parse(text)
    stored = {name.name for name in parsed.find_all(nodes.Name) if name.ctx == "store"}
    asked = (test.node for test in parsed.find_all(nodes.Test) if test.name == "defined")
    given = {node.name for node in asked if isinstance(node, nodes.Name)}
    return [sorted(found) for found in (meta.find_undeclared_variables(parsed), stored, given)]


@functools.lru_cache(maxsize=16)
def _template(text: str) -> Template:
    return _environment().from_string(text)


@functools.lru_cache(maxsize=1)
def _environment() -> Environment:
    """Return a sandbox, set up as `transformers.utils.chat_template_utils._cached_compile_jinja_template` does it."""

    class Generation(Extension):
        """`{% generation %}` marks what a trainer learns; it writes nothing."""

        tags = {"generation"}  # noqa: RUF012 - Jinja's own form

        def parse(self, parser: Any) -> list[nodes.Node]:
            next(parser.stream)
            body: list[nodes.Node] = parser.parse_statements(("name:endgeneration",), drop_needle=True)
            return body

    class Bounded(ImmutableSandboxedEnvironment):
        """A sandbox that refuses at once what would make something huge by a single number."""

        intercepted_binops = frozenset({"*", "**"})

        def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
            _require_small(left, right) if operator == "**" else _require_short(left, right)
            return super().call_binop(context, operator, left, right)

        def call(self, context: Any, called: Any, /, *arguments: Any, **named: Any) -> Any:
            _require_small(*arguments, *named.values())
            return super().call(context, called, *arguments, **named)

    def refuse(message: str) -> None:
        raise TemplateError(message)

    def to_json(value: Any, ensure_ascii: bool = False, **options: Any) -> str:
        return json.dumps(value, ensure_ascii=ensure_ascii, **options)

    made = Bounded(trim_blocks=True, lstrip_blocks=True, extensions=[Generation, "jinja2.ext.loopcontrols"])
    made.filters["tojson"] = to_json
    made.filters = {name: _bounded(called) for name, called in made.filters.items()}
    for name in _DROPPED:
        made.globals.pop(name, None)
    made.globals["raise_exception"] = refuse
    made.globals["strftime_now"] = lambda form: datetime.now().strftime(form)
    return made


def _bounded(called: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(called)
    def checked(*arguments: Any, **named: Any) -> Any:
        _require_small(*arguments[1:], *named.values())
        return called(*arguments, **named)

    return checked


def _require_small(*arguments: Any) -> None:
    if any(isinstance(number, int | float) and abs(number) > LARGEST for number in arguments):
        raise OverflowError(f"it computes with a number over {LARGEST:,}")


def _require_short(left: Any, right: Any) -> None:
    for repeated, count in ((left, right), (right, left)):
        if isinstance(repeated, str | list | tuple) and isinstance(count, int) and len(repeated) * count > LARGEST:
            raise OverflowError(f"it repeats something {count:,} times")
