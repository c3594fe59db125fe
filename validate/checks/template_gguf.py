"""Check 1 for a GGUF: its chat templates, rendered with its own bos and eos, beside the checkpoint's.

transformers renders both. llama.cpp has a Jinja of its own, which the package that runs it here does not offer.
"""

from __future__ import annotations

from collections.abc import Callable

from ...convert.checkpoint import Checkpoint
from ...convert.gguf.read import GgufFile
from ...core.progress import Progress
from ...runtimes.llama_cpp_prompt import TEMPLATE, markers
from ..message_parts import in_parts
from ..report.model import Check
from . import template_texts
from .template import Place, judge
from .template_conversations import Conversation
from .template_texts import DEFAULT, Render

WHERE = "the GGUF"


def check(open_file: Callable[[], GgufFile], checkpoint: Checkpoint, progress: Progress) -> Check:
    """Compare the rendered prompts; a file that cannot be opened fails the check."""

    def places() -> list[Place]:
        file = open_file()
        found = templates(file)
        return [Place(WHERE, found, lambda name: _renderer(file, found[name]))]

    return judge(checkpoint, places, progress, parts="vision_config" in checkpoint.config)


def templates(file: GgufFile) -> dict[str, str]:
    """Return the file's templates by name."""
    texts = {key: value for key, value in file.keys.items() if isinstance(value, str)}
    found = {DEFAULT: texts[TEMPLATE]} if TEMPLATE in texts else {}
    prefix = f"{TEMPLATE}."
    return found | {key.removeprefix(prefix): text for key, text in texts.items() if key.startswith(prefix)}


def renderer(file: GgufFile) -> Render | None:
    """Return what renders the file's default template with its own markers; None if it has none."""
    text = templates(file).get(DEFAULT)
    return None if text is None else _renderer(file, text)


def _renderer(file: GgufFile, text: str) -> Render:
    return template_texts.renderer(text, markers(file.keys), "The GGUF's chat template")


def prompt(render: Render, messages: Conversation) -> str:
    """Render a prompt; in parts if the template drops plain strings, as llama.cpp finds out too."""
    probe: Conversation = [{"role": "user", "content": "probe"}]
    plain = "probe" in render(probe, True)
    return render(messages if plain else [in_parts(message) for message in messages], True)
