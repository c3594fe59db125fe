"""There is a chat template, it renders a plain conversation, and GLM-Edge's is the one that is published."""

from __future__ import annotations

from typing import Any

from ...convert.families.glm_edge_v import GlmEdgeVision
from ...convert.families.glm_edge_v_model.facts import CHAT_TEMPLATE
from ...core.chat_template import ChatTemplate, TemplateFault
from ..checks.tokenizer_pair import excerpt, first_difference
from .glm_edge import is_glm_edge
from .row import Row, judged
from .subject import Refused, Subject

Conversation = list[dict[str, Any]]
TURNS = (("user", "What is the capital of Italy?"), ("assistant", "Rome."), ("user", "And of France?"))


def rows(subject: Subject) -> list[Row]:
    """Read and render."""
    if subject.encoder:
        return []
    template, expected = subject.template, "one, for chat and for measured answers"
    if isinstance(template, Refused):
        return [Row("template", "chat template", expected, template.message, "wrong", "Download the file again.")]
    if template is None:
        note = "A base model, or the template was lost: it can be converted, but not chatted with."
        return [Row("template", "chat template", expected, "none", "wrong", note)]
    found = [Row("template", "chat template", expected, f"{len(template):,} characters"), _plain(subject, template)]
    return found + _known(subject, template)


def render(template: str, messages: Conversation, roles: dict[str, str], *, prompted: bool = True) -> str:
    """Render a chat template in Jinja's sandbox, with the settings and helpers that transformers gives it.

    Args:
        template: the text.
        messages: the conversation.
        roles: the tokenizer's `bos_token` and so on, which templates may write.
        prompted: with the opening of the next answer.

    Raises:
        ValueError: it cannot be rendered; the message says why.
    """
    values = {**roles, "messages": messages, "tools": None, "documents": None, "add_generation_prompt": prompted}
    try:
        return ChatTemplate(template).render(**values)
    except TemplateFault as why:
        raise ValueError(f"it cannot be rendered: {why}") from why


def conversation(*, in_parts: bool) -> Conversation:
    """Return a plain conversation; the V models' template wants each content as a list of parts."""
    return [{"role": role, "content": [{"type": "text", "text": text}] if in_parts else text} for role, text in TURNS]


def roles_of(subject: Subject) -> dict[str, str]:
    """Return the tokens that a template may name."""
    return {} if isinstance(subject.tokenizer, Refused) else subject.tokenizer.roles


def _plain(subject: Subject, template: str) -> Row:
    messages, roles = conversation(in_parts=subject.takes_images), roles_of(subject)
    expected = "every message, and the opening of an answer"
    try:
        prompt = render(template, messages, roles)
        opening = len(prompt) > len(render(template, messages, roles, prompted=False))
    except ValueError as error:
        return Row("template", "plain conversation", expected, str(error), "wrong", "Download the template again.")
    lost = [text for _, text in TURNS if text not in prompt]
    opens = "add_generation_prompt" in template
    faults = [f"{text!r} is left out" for text in lost] + (["no answer is opened"] if opens and not opening else [])
    if not faults and not opens:  # Mistral's and Llama 2's: the model itself begins its answer behind [/INST]
        found = f"{len(prompt)} characters; no opening of an answer, of which the template knows nothing"
        note = "the model begins its answer by itself, as Mistral's and Llama 2's do"
        return Row("template", "plain conversation", expected, found, "assumed", note)
    return judged(
        "template", "plain conversation", expected, "; ".join(faults) or f"{len(prompt)} characters",
        right=not faults, note="It is another model's template, or a damaged one.",
    )  # fmt: skip


def _known(subject: Subject, template: str) -> list[Row]:
    from ...builtin.structure import CHAT_TEMPLATE as OF_TEXT_MODELS

    if isinstance(subject.vision, GlmEdgeVision):
        known = CHAT_TEMPLATE.format(image_tokens=subject.vision.image_tokens)
        return [_compared(template, known, "GLM-Edge-V's, as put together from quotations")]
    if subject.takes_images or not is_glm_edge(subject.config):
        return []
    return [_compared(template, OF_TEXT_MODELS, "GLM-Edge's published one")]


def _compared(template: str, known: str, expected: str) -> Row:
    """Another text is no fault, for the checkpoint's own is what is used; but nobody has measured with it."""
    template = template.removesuffix("\n")  # Jinja drops it
    if template == known:
        return Row("template", "text", expected, "the same, to the letter")
    at = first_difference(template, known)
    found = f"another from character {at} on: {excerpt(template, at)} instead of {excerpt(known, at)}"
    note = "the checkpoint's own template is used, whatever it says"
    return Row("template", "text", expected, found, "assumed", note)
