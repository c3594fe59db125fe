"""A folder's chat template, and what it makes of messages."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..core import tokenizer_files
from ..core.chat_template import ChatTemplate, TemplateFault
from ..core.errors import CheckpointError
from ..core.json_file import read_json

STALE = "Template, tokenizer and config.json are of different models or revisions; download all files again."


def read_template(folder: Path) -> str | None:
    """Return a folder's default chat template, by the rule for all formats (`tokenizer_files.Files.templates`).

    Raises:
        CheckpointError: it is not a text, or its file is damaged.
    """
    config = folder / "tokenizer_config.json"
    stated: Any = read_json(config).get("chat_template") if config.is_file() else None
    if stated is not None and not isinstance(stated, (str, list)):
        raise CheckpointError(f"The chat template in {config.name} is not a text.", "Download the file again.")
    files = tokenizer_files.Files(folder, config={"chat_template": stated})
    return files.templates().get("default")


def render(template: str, messages: list[dict[str, Any]]) -> str:
    """Render a chat template as transformers does.

    Raises:
        CheckpointError: it cannot be rendered.
    """
    try:
        return ChatTemplate(template).render(messages=messages, add_generation_prompt=True)
    except TemplateFault as error:
        raise CheckpointError(f"The chat template cannot be rendered for a picture: {error}.", STALE) from error
