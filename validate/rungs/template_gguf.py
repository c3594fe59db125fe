"""Rung 1 for a GGUF: its tokenizer.chat_template, rendered with its own bos and eos, beside the checkpoint's template.

transformers renders both. llama.cpp has a Jinja of its own, which the package that runs it here does not offer.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ...convert.checkpoint import Checkpoint
from ...convert.gguf.read import GgufFile
from ...core.chat_template import TemplateFault, limited, require_bounded
from ...core.errors import ArtefactError
from ...core.progress import Progress
from ..report.model import Rung
from ..tokenizer import in_parts
from .template import CONVERSATIONS, Conversation, Render, judge, one_sided, with_pictures

WHERE = "the GGUF"


def check(open_file: Callable[[], GgufFile], checkpoint: Checkpoint, progress: Progress) -> Rung:
    """Compare the rendered prompts; a file that cannot be opened fails the rung."""

    def side(reference: Any) -> tuple[dict[str, Render], list[str]]:
        render = renderer(open_file())
        failures = one_sided(bool(reference.chat_template), {WHERE: render is not None})
        return ({} if failures or render is None else {WHERE: render}), failures

    conversations = with_pictures() if "vision_config" in checkpoint.config else CONVERSATIONS
    return judge(checkpoint, conversations, side, progress)


def renderer(file: GgufFile) -> Render | None:
    """Return what renders the file's template with its own markers; None if it has none."""
    template = file.keys.get("tokenizer.chat_template")
    if not isinstance(template, str):
        return None
    tokens = file.keys.get("tokenizer.ggml.tokens", [])
    markers = {}
    for role, key in (("bos", "bos"), ("eos", "eos"), ("pad", "padding"), ("unk", "unknown")):
        number = file.keys.get(f"tokenizer.ggml.{key}_token_id")
        if isinstance(number, int) and number < len(tokens):
            markers[f"{role}_token"] = tokens[number]

    _require_bounded(template)

    def render(messages: Conversation, prompted: bool) -> str:
        from transformers.utils.chat_template_utils import render_jinja_template

        with limited():
            (text,), _ = render_jinja_template(
                [messages], chat_template=template, add_generation_prompt=prompted, **markers
            )
        return str(text)

    return render


def _require_bounded(template: str) -> None:
    try:
        require_bounded(template)
    except TemplateFault as fault:
        raise ArtefactError(f"The GGUF's chat template cannot be used: {fault}.", "Do not use the file.") from fault


def prompt(render: Render, messages: Conversation) -> str:
    """Render a prompt; in parts if the template drops plain strings, as llama.cpp finds out too."""
    probe: Conversation = [{"role": "user", "content": "probe"}]
    plain = "probe" in render(probe, True)
    return render(messages if plain else [in_parts(message) for message in messages], True)
