"""The conversations of the template check: plain ones, and those for what a template names (tools, thinking, documents)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from ...core import chat_template
from ..message_parts import in_parts

Conversation = list[dict[str, Any]]


@dataclass(frozen=True)
class Dialogue:
    """What a template is given: messages, and options such as tools or enable_thinking; `plain`: every chat has the like."""

    messages: Conversation
    options: Mapping[str, Any] = field(default_factory=dict)
    plain: bool = False


def _turns(*turns: tuple[str, str]) -> Conversation:
    return [{"role": role, "content": content} for role, content in turns]


CONVERSATIONS: dict[str, Conversation] = {
    "one question": _turns(("user", "What is the capital of Italy?")),
    "system": _turns(("system", "Answer briefly."), ("user", "Why is the sky blue?")),
    "multi-turn": _turns(
        ("system", "You are a teacher."),
        ("user", "Name a prime."),
        ("assistant", "7"),
        ("user", "Another one?"),
        ("assistant", "11, for example."),
        ("user", "And the next?"),
    ),
    "ends with an answer": _turns(("user", "Hello"), ("assistant", "Hello! How can I help?")),
    "empty system": _turns(("system", ""), ("user", "Hello")),
    "empty question": _turns(("user", "")),
    "empty answer": _turns(("user", "Go on"), ("assistant", ""), ("user", "Please")),
    "non-ASCII": _turns(
        ("system", "你是助手。"), ("user", "日本的首都是哪里？ Çà va? 👩‍🚀 e\u0301"), ("assistant", "东京")
    ),
    "white space": _turns(
        ("user", "  two before, two after  \n"), ("assistant", "\n\tindented\n\n"), ("user", "\u3000全角")
    ),
    "markup": _turns(("user", "{{ 1 + 1 }} {% raw %} <|user|> </s> [INST] \"quotes\" 'and' \\n & <b>")),
}
TOOLS: list[dict[str, Any]] = [
    {
        "type": "function",
        "function": {
            "name": "weather",
            "description": 'Weather of a city, e.g. "Köln" <b>&</b> 北京.',
            "parameters": {
                "type": "object",
                "properties": {
                    "city": {"type": "string", "description": "Its name"},
                    "unit": {"type": "string", "enum": ["celsius", "fahrenheit"], "default": "celsius"},
                    "days": {"type": "array", "items": {"type": "integer"}},
                },
                "required": ["city"],
            },
        },
    },
    {
        "type": "function",
        "function": {"name": "now", "description": "The time.", "parameters": {"type": "object", "properties": {}}},
    },
]
_NAMED_BY_ALL = {
    "messages", "tools", "documents", "add_generation_prompt", "continue_final_message", "raise_exception", "strftime_now",
    "bos_token", "eos_token", "pad_token", "unk_token", "sep_token", "cls_token", "mask_token", "image_token", "video_token",
    "namespace", "range", "dict", "lipsum", "cycler", "joiner",
}  # fmt: skip
_VALUES: dict[str, tuple[Any, ...]] = {
    "reasoning_effort": ("low", "high"),
    "model_identity": ("You are a test.",),
    "date_string": ("26 Jul 2024",),
    "documents": ([{"title": "A", "text": "First, é."}, {"title": "B", "text": "Second."}],),
    "builtin_tools": (["browser", "python"],),
    "thinking_budget": (256,),
}
"""What options other than switches are given."""
_DOCUMENTS = "documents"


def dialogues(template: str, *, parts: bool = False) -> dict[str, Dialogue]:
    """Return the conversations that a template's text calls for.

    Args:
        template: the checkpoint's.
        parts: it wants content as a list of parts, among them pictures.
    """
    plain = with_pictures() if parts else CONVERSATIONS
    found = {name: Dialogue(messages, plain=True) for name, messages in plain.items()}
    if "tool" in template and not parts:
        found |= _with_tools({"tools": TOOLS} if "tools" in _names(template) else {})
    if "reasoning" in template or "think" in template:
        found |= _with_reasoning()
    for name in sorted(_undeclared(template)):
        for value in _VALUES.get(name, (True, False)):
            shown = "" if name in _VALUES and len(_VALUES[name]) == 1 else f" = {value}"
            messages = found["multi-turn"].messages
            found[f"{name}{shown}"] = Dialogue(messages, {name: value})
            if name not in _VALUES and "tools called" in found:
                called = found["tools called"]
                found[f"tools called, {name}{shown}"] = replace(called, options={**called.options, name: value})
    return found


def with_pictures() -> dict[str, Conversation]:
    """Return the plain conversations in parts, and some with pictures."""
    found = {name: [in_parts(turn) for turn in turns] for name, turns in CONVERSATIONS.items()}
    picture, text = {"type": "image"}, {"type": "text", "text": "What is it?"}
    found["a picture"] = [{"role": "user", "content": [picture, text]}]
    found["a picture after the words"] = [{"role": "user", "content": [text, picture]}]
    found["two pictures"] = [{"role": "user", "content": [picture, picture, text]}]
    return found


def _call(number: int, name: str, arguments: dict[str, Any], *, text: bool) -> dict[str, Any]:
    given = json.dumps(arguments, ensure_ascii=False) if text else arguments
    return {"type": "function", "id": f"call0000{number}", "function": {"name": name, "arguments": given}}


def _with_tools(options: Mapping[str, Any]) -> dict[str, Dialogue]:
    """Tools offered, called (one, two at once, with words), answered, and what follows; arguments as objects and as texts."""
    system, question = _turns(("system", "Be exact."), ("user", "Weather in Köln and the time?"))
    found = {
        "tools offered": [question],
        "tools offered beside a system message": [system, question],
        "tools offered in a second turn": _turns(("user", "Hi"), ("assistant", "Hello."), ("user", "Time?")),
    }
    for text in (False, True):
        kind = ", arguments as text" if text else ""
        first = _call(1, "weather", {"city": "Köln", "days": [1, 2], "unit": None, "exact": True, "x": 1.5}, text=text)
        second = _call(2, "now", {}, text=text)
        answers = [
            {
                "role": "tool",
                "name": "weather",
                "tool_call_id": "call00001",
                "content": '{"celsius": 7.5, "sky": "bewölkt"}',
            },
            {"role": "tool", "name": "now", "tool_call_id": "call00002", "content": "12:30"},
        ]
        asked = [question, {"role": "assistant", "content": "", "tool_calls": [first]}]
        both = {"role": "assistant", "content": "", "tool_calls": [first, second]}
        found |= {
            f"a tool called{kind}": asked,
            f"a tool answered{kind}": [*asked, answers[0]],
            f"a tool called with words{kind}": [
                question, {"role": "assistant", "content": "I look it up.", "tool_calls": [first]}, answers[0],
            ],
            f"a tool called without content{kind}": [
                question, {"role": "assistant", "content": None, "tool_calls": [first]}, answers[0],
            ],
            f"tools called{kind}": [system, question, both, *answers],
            f"after the tools{kind}": [
                system, question, both, *answers, *_turns(("assistant", "7.5 °C, half past twelve."), ("user", "Thanks")),
            ],
        }  # fmt: skip
    return {name: Dialogue(messages, options) for name, messages in found.items()}


def _with_reasoning() -> dict[str, Dialogue]:
    """Answers with their reasoning, in a field of its own and within the text, in history and as the last message."""
    question, again = _turns(("user", "2 + 2?"), ("user", "And 3 + 3?"))
    apart = {"role": "assistant", "content": "4", "reasoning_content": "Two and two.\n"}
    within = {"role": "assistant", "content": "<think>\nTwo and two.\n</think>\n\n4"}
    return {
        "reasoning in history": Dialogue([question, apart, again]),
        "reasoning at the end": Dialogue([question, apart]),
        "reasoning within the text": Dialogue([question, within, again]),
        "reasoning within the last text": Dialogue([question, within]),
    }


def _undeclared(template: str) -> set[str]:
    """Return the options that a template reads beyond those that every template may."""
    names = _names(template)
    return (names - _NAMED_BY_ALL) | ({_DOCUMENTS} & names)


def _names(template: str) -> set[str]:
    """Return the variables that a template reads and does not set itself."""
    try:
        read, stored, asked = chat_template.names(template)
    except chat_template.TemplateFault:
        return set()  # rendering says what is wrong with it
    # what is set in one branch counts as undeclared in another; an option is one that the template asks for before
    return read - (stored - asked)
