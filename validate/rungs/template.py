"""Rung 1: the prompt that the artefact's chat template renders is the checkpoint's, character by character.

Two templates of the artefact count: the one in its tokenizer files, which transformers and optimum-intel render, and the one in
its tokenizer IR, which openvino_genai prefers to the files and renders with a Jinja of its own.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ...convert.checkpoint import Checkpoint
from ...core.errors import EdgeconvError
from ...core.progress import Progress
from ..report.model import Rung
from ..tokenizer import in_parts
from . import tokenizer_pair

Conversation = list[dict[str, Any]]
Render = Callable[[Conversation, bool], str]
Side = Callable[[Any], tuple[dict[str, Render], list[str]]]


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


def check(folder: Path, checkpoint: Checkpoint, progress: Progress, *, parts: bool = False) -> Rung:
    """Compare the rendered prompts.

    Args:
        folder: the artefact.
        checkpoint: the reference.
        progress: hears of the conversations.
        parts: the template wants content as a list of parts, among them pictures.
    """
    conversations = with_pictures() if parts else CONVERSATIONS
    return judge(checkpoint, conversations, lambda tokenizer: _renderers(folder, tokenizer, parts=parts), progress)


def judge(checkpoint: Checkpoint, conversations: dict[str, Conversation], side: Side, progress: Progress) -> Rung:
    """Compare what the checkpoint's template renders with what the artefact's do, whatever its format.

    Args:
        checkpoint: the reference.
        conversations: by their names.
        side: given the checkpoint's tokenizer, returns what renders on the artefact's side, by name, and the failures of
            templates that are there on one side only.
        progress: hears of the conversations.
    """
    started = time.perf_counter()
    status, summary, compared = "failed", "", 0
    failures: list[str] = []
    try:
        reference = tokenizer_pair.of_transformers(checkpoint.folder)
        renderers, failures = side(reference)
        if not (reference.chat_template or renderers or failures):
            status, summary = "skipped", "Neither the checkpoint nor the artefact has a chat template."
        elif not failures:
            failures, compared = _compare(of_transformers(reference), renderers, conversations, progress)
    except EdgeconvError as error:
        failures = [error.message]
    if not summary:
        status = "failed" if failures else "passed"
        summary = f"{compared} prompts of {len(conversations)} conversations are equal."
        if failures:
            summary = f"{len(failures)} differences in {compared} rendered prompts." if compared else failures[0]
    return Rung(
        name="template",
        status=status,  # type: ignore[arg-type]
        summary=summary,
        failures=failures,
        figures={"prompts": compared, "different": len(failures)},
        seconds=time.perf_counter() - started,
    )


def _renderers(folder: Path, reference: Any, *, parts: bool) -> tuple[dict[str, Render], list[str]]:
    expected = bool(reference.chat_template)
    files = tokenizer_pair.of_transformers(folder)
    # openvino_genai, which does not run such an artefact, cannot render `range` either
    genai = None if parts else tokenizer_pair.of_genai(folder)
    present = {"the artefact's files": bool(files.chat_template)}
    if genai:
        present["openvino_genai"] = bool(genai.chat_template)
    failures = one_sided(expected, present)
    if failures or not expected:
        return {}, failures
    renderers = {"the artefact's files": of_transformers(files)}
    return renderers | ({"openvino_genai": _of_genai(genai)} if genai else {}), []


def one_sided(expected: bool, present: dict[str, bool]) -> list[str]:
    """Return a sentence for each place that has a template and the checkpoint none, or the other way round."""
    failures = []
    for where, has in present.items():
        if expected and not has:
            failures.append(f"The checkpoint has a chat template, {where} has none.")
        if has and not expected:
            failures.append(f"{where[0].upper() + where[1:]} has a chat template, the checkpoint has none.")
    return failures


def with_pictures() -> dict[str, Conversation]:
    """Return the same conversations in parts, and some with pictures."""
    found = {name: [in_parts(turn) for turn in turns] for name, turns in CONVERSATIONS.items()}
    picture, text = {"type": "image"}, {"type": "text", "text": "What is it?"}
    found["a picture"] = [{"role": "user", "content": [picture, text]}]
    found["a picture after the words"] = [{"role": "user", "content": [text, picture]}]
    found["two pictures"] = [{"role": "user", "content": [picture, picture, text]}]
    return found


def _compare(
    reference: Render, renderers: dict[str, Render], conversations: dict[str, Conversation], progress: Progress
) -> tuple[list[str], int]:
    task = progress.task("Rendering prompts", len(conversations))
    failures, compared = [], 0
    for name, conversation in conversations.items():
        for prompted in (True, False):
            wanted = _rendered(reference, conversation, prompted)
            for where, render in renderers.items():
                compared += 1
                got = _rendered(render, conversation, prompted)
                if got != wanted:
                    failures.append(_difference(name, prompted, where, wanted, got))
        task.advance(1)
    task.finish()
    return failures, compared


def _rendered(render: Render, conversation: Conversation, prompted: bool) -> str | None:
    """Return the prompt; None if the template refuses the conversation (no system role, for one), which both must do."""
    try:
        return render(conversation, prompted)
    except Exception:  # noqa: BLE001 - Jinja's errors in two languages; that there is one is what is compared
        return None


def _difference(name: str, prompted: bool, where: str, wanted: str | None, got: str | None) -> str:
    head = f"Conversation '{name}'{', with the generation prompt' if prompted else ''}, by {where}: "
    if wanted is None or got is None:
        refusing, other = (
            ("the checkpoint's template", where) if wanted is None else (where, "the checkpoint's template")
        )
        return head + f"{refusing} refuses it, {other} does not."
    at = tokenizer_pair.first_difference(wanted, got)
    return head + (
        f"differs from character {at}: expected {tokenizer_pair.excerpt(wanted, at)}, rendered {tokenizer_pair.excerpt(got, at)}."
    )


def of_transformers(tokenizer: Any) -> Render:
    """Return what renders with the template of a tokenizer of transformers."""
    return lambda messages, prompted: str(
        tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=prompted)
    )


def _of_genai(tokenizer: Any) -> Render:
    return lambda messages, prompted: str(tokenizer.apply_chat_template(messages, add_generation_prompt=prompted))
