"""Chat templates as texts: which a folder or a GGUF holds by name, how one is rendered, and whether two are the same program."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from ...core import tokenizer_files
from ...core.chat_template import TemplateFault, limited, require_bounded, same
from ...core.errors import ArtifactError
from . import tokenizer_pair
from .template_conversations import Conversation

DEFAULT = "default"
CLOCK = "strftime_now"
"""What templates call for the date; an option of this name, a moment in ISO 8601, stops the clock (`core.template_task`)."""
FROZEN = datetime(2024, 7, 26, 12, 30, 45)
"""The moment at which both sides of a comparison are rendered."""
Render = Callable[..., str]
"""(messages, with the generation prompt, **options) → the prompt."""


def of_folder(folder: Path) -> dict[str, str]:
    """Return a folder's templates by name, wherever they lie. Raises CheckpointError."""
    return tokenizer_files.templates(folder)


def renderer(template: str, markers: Mapping[str, str], what: str) -> Render:
    """Return what renders a template as transformers does, for a limited time.

    Args:
        template: its text.
        markers: bos_token, eos_token and the like.
        what: whose template it is, for messages.

    Raises:
        ArtifactError: it runs for ever, or makes something huge.
    """
    try:
        require_bounded(template)
    except TemplateFault as fault:
        raise ArtifactError(f"{what} cannot be used: {fault}.", "Do not use the file.") from fault

    def render(messages: Conversation, prompted: bool, **options: Any) -> str:
        from transformers.utils.chat_template_utils import render_jinja_template

        given = {**markers, **options}
        try:
            with limited():
                (text,), _ = render_jinja_template(
                    [messages], chat_template=template, add_generation_prompt=prompted, **given
                )
        except TemplateFault as fault:
            if fault.limit:
                raise ArtifactError(f"{what} cannot be used: {fault}.", "Do not use the file.") from fault
            raise
        return str(text)

    return render


def differences(wanted: Mapping[str, str], got: Mapping[str, str], where: str) -> list[str]:
    """Compare templates by their names, for what no conversation of ours may show.

    Args:
        wanted: the checkpoint's.
        got: the artifact's.
        where: what holds them.
    """
    found = []
    for name, text in wanted.items():
        called = "chat template" if name == DEFAULT else f"chat template {name!r}"
        if name not in got:
            found.append(f"The checkpoint's {called} is not in {where}.")
        elif not same(text, got[name]):
            at = tokenizer_pair.first_difference(text, got[name])
            found.append(
                f"The {called} in {where} is another than the checkpoint's, from character {at}: expected "
                f"{tokenizer_pair.excerpt(text, at)}, got {tokenizer_pair.excerpt(got[name], at)}."
            )
    found += [f"{where[0].upper() + where[1:]} has a chat template {name!r}, the checkpoint has none of that name."
              for name in got if name not in wanted]  # fmt: skip
    return found
