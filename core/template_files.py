"""Which chat templates a folder has, and whether they can be run: they are programs, which llama.cpp and others will run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from . import limits
from .chat_template import TemplateFault, require_bounded
from .errors import CheckpointError
from .json_file import read_json


def named(folder: Path, stated: Any) -> dict[str, str]:
    """Return chat templates by name; files of their own come before tokenizer_config.json, as in transformers.

    chat_template.json is an old place, which counts where there is no other.

    Args:
        folder: of the files.
        stated: `chat_template` of its tokenizer_config.json.

    Raises:
        CheckpointError: a file is not a text, or larger than a template may be.
    """
    main, others = folder / "chat_template.jinja", folder / "additional_chat_templates"
    alone = {"default": _text(main)} if main.is_file() else {}
    alone |= {path.stem: _text(path) for path in sorted(others.glob("*.jinja"))}
    if "default" in alone:
        return alone
    old = folder / "chat_template.json"
    if stated is None and old.is_file():
        stated = read_json(old).get("chat_template")
    if isinstance(stated, str):
        return {"default": stated, **alone}
    if isinstance(stated, list):
        pairs = [(entry.get("name"), entry.get("template")) for entry in stated if isinstance(entry, dict)]
        return {name: text for name, text in pairs if isinstance(name, str) and isinstance(text, str)} | alone
    return alone


def require_sound(templates: dict[str, str]) -> None:
    """Look at templates by their names.

    Raises:
        CheckpointError: one runs for ever, or fills the memory.
    """
    for name, text in templates.items():
        try:
            require_bounded(text)
        except TemplateFault as fault:
            label = "" if name == "default" else f" {name!r}"
            raise CheckpointError(
                f"The chat template{label} (chat_template.jinja or tokenizer_config.json) cannot be used: {fault}.",
                "It is damaged or hostile. Take another revision, or the template of the model that this one comes from.",
            ) from fault


def _text(path: Path) -> str:
    try:
        return limits.read_text(path, limits.TEMPLATE)
    except UnicodeDecodeError as error:
        raise CheckpointError(f"{path.name} is not UTF-8 text.", "Download the file again.") from error
