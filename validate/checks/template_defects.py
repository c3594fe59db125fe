"""What engines' own Jinja is known to render otherwise than transformers, whatever template an artifact holds."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from .runtime_defects import RuntimeDefect
from .template_conversations import Conversation, Dialogue

GENAI = "openvino_genai"
GENAI_VERSIONS = "2026.4"


@dataclass(frozen=True)
class TemplateDefect:
    """One listed defect, and what explains a difference by it.

    Attributes:
        defect: for the report.
        change: rewrites a conversation; one that it leaves as it is, is not concerned.
        as_run: the engine renders the conversation as the checkpoint's template renders the changed one; False: both render the
            changed one alike, which lacks the trigger.
    """

    defect: RuntimeDefect
    change: Callable[[Dialogue], Dialogue]
    as_run: bool


def _merged_system(dialogue: Dialogue) -> Dialogue:
    """Put the system message in front of the next turn of the user, a line of its own."""
    waiting, messages = "", Conversation()
    for turn in dialogue.messages:
        content = turn["content"]
        if not isinstance(content, str):
            return dialogue
        if turn["role"] == "system":
            waiting += ("\n" if waiting else "") + content
        elif turn["role"] == "user" and waiting:
            messages.append({**turn, "content": waiting + ("\n" + content if content else "")})
            waiting = ""
        else:
            messages.append(turn)
    return replace(dialogue, messages=messages)


def _no_wide_space(dialogue: Dialogue) -> Dialogue:
    """Take white space that is not ASCII from the ends of the messages."""
    messages = [
        {**turn, "content": _stripped(turn["content"])} if isinstance(turn["content"], str) else turn
        for turn in dialogue.messages
    ]
    return replace(dialogue, messages=messages)


def _stripped(text: str) -> str:
    bare = text.strip()
    start = text.index(bare) if bare else 0
    ends = text[:start] + text[start + len(bare) :]
    return text if ends.isascii() else bare


def _calls(turn: Mapping[str, Any]) -> list[dict[str, Any]]:
    return list(turn.get("tool_calls") or [])


def _arguments_as_objects(dialogue: Dialogue) -> Dialogue:
    """Read the arguments of calls that are texts of JSON."""
    messages = []
    for turn in dialogue.messages:
        calls = [
            {**call, "function": {**call["function"], "arguments": _object(call["function"]["arguments"])}}
            for call in _calls(turn)
        ]
        messages.append({**turn, "tool_calls": calls} if calls else turn)
    return replace(dialogue, messages=messages)


def _object(arguments: Any) -> Any:
    return json.loads(arguments) if isinstance(arguments, str) else arguments


def _empty_for_none(dialogue: Dialogue) -> Dialogue:
    """Make an absent content an empty one."""
    messages = [{**turn, "content": ""} if turn["content"] is None else turn for turn in dialogue.messages]
    return replace(dialogue, messages=messages)


def _without_empty_objects(dialogue: Dialogue) -> Dialogue:
    """Give every function a parameter, and every call an argument."""
    tools = [_filled(tool, ("parameters", "properties"), {"zone": {"type": "string"}}) for tool in _tools(dialogue)]
    messages = [
        {**turn, "tool_calls": [_filled(call, ("arguments",), {"zone": "CET"}) for call in _calls(turn)]}
        if _calls(turn)
        else turn
        for turn in dialogue.messages
    ]
    return Dialogue(messages, {**dialogue.options, **({"tools": tools} if tools else {})}, plain=dialogue.plain)


def _tools(dialogue: Dialogue) -> list[dict[str, Any]]:
    return list(dialogue.options.get("tools") or [])


def _filled(entry: dict[str, Any], path: tuple[str, ...], value: dict[str, Any]) -> dict[str, Any]:
    changed = copy.deepcopy(entry)
    holder = changed["function"]
    for key in path[:-1]:
        holder = holder[key]
    if holder[path[-1]] in ({}, "{}"):
        holder[path[-1]] = value
    return changed


_CHANGES = (_arguments_as_objects, _empty_for_none)


def _as_read(dialogue: Dialogue) -> Dialogue:
    for change in _CHANGES:
        dialogue = change(dialogue)
    return dialogue


GENAI_OTHERWISE = RuntimeDefect(
    "tools and options",
    GENAI,
    GENAI_VERSIONS,
    "conversations with tools, reasoning or options of the template",
    "its Jinja renders them otherwise than transformers from the same template",
)
"""For a template that is the checkpoint's own program, where only conversations beyond the plain ones differ."""
GENAI_REFUSES = RuntimeDefect(
    "template refused",
    GENAI,
    GENAI_VERSIONS,
    "every conversation that the template itself takes",
    "its Jinja lacks something that the template uses, so a chat there needs a template of its own",
)
"""For a template that is the checkpoint's own program."""
GENAI_DEFECTS: tuple[TemplateDefect, ...] = (
    TemplateDefect(
        RuntimeDefect(
            "system message",
            GENAI,
            GENAI_VERSIONS,
            "conversations with a system message, where the template takes none",
            "it puts the system message into the user's turn, where the template refuses or drops it",
        ),
        _merged_system,
        as_run=True,
    ),
    TemplateDefect(
        RuntimeDefect(
            "trim",
            GENAI,
            GENAI_VERSIONS,
            "messages that begin or end with white space beyond ASCII, such as U+3000",
            "its trim takes away ASCII white space alone",
        ),
        _no_wide_space,
        as_run=False,
    ),
    TemplateDefect(
        RuntimeDefect(
            "arguments as text",
            GENAI,
            GENAI_VERSIONS,
            "tool calls whose arguments are a text of JSON, or messages without content",
            "it reads the text and gives the template an object, and an empty content for none",
        ),
        _as_read,
        as_run=True,
    ),
    TemplateDefect(
        RuntimeDefect(
            "empty objects",
            GENAI,
            GENAI_VERSIONS,
            "functions without parameters, calls without arguments",
            "its tojson with indents writes {} over several lines",
        ),
        _without_empty_objects,
        as_run=False,
    ),
)
