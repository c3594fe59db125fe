"""The front matter of a checkpoint's model card (README.md): license, languages, tags, and what it was made from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

README = "README.md"
KEPT = ("license", "license_name", "license_link", "language", "pipeline_tag", "tags")
"""Fields that a converted model's own card takes over."""


_LONGEST = 64_000
"""Bytes of a front matter. One with hundreds of evaluations is longer, and is not read: YAML takes a second for each 30,000."""
_NOTHING = ("", "~", "null")


def read_card(folder: Path) -> dict[str, Any]:
    """Return the fields of README.md's front matter that are texts or lists of texts; empty if there is none that can be read.

    It is decoration, and strangers wrote it: whatever is wrong with it, it cannot stop a conversion.
    """
    import yaml

    try:
        text = _front(folder / README)
        # texts alone: a date, a number or a tag is converted nowhere, and the Norwegian "no" is not false
        card = yaml.load(text, yaml.BaseLoader) if text else {}
    except (yaml.YAMLError, OSError, ValueError, TypeError, RecursionError):  # TypeError: a key that is a list
        return {}
    return {key: value for key, value in card.items() if _is_text(value)} if isinstance(card, dict) else {}


def _front(path: Path) -> str:
    """Return the text between the lines `---`; empty if there is none, or it is longer than anybody writes it."""
    if not path.is_file():
        return ""
    with path.open("rb") as file:
        lines = file.read(_LONGEST).decode("utf-8", errors="replace").splitlines()
    if not lines or lines[0].strip() != "---":
        return ""
    end = next((number for number, line in enumerate(lines[1:], 1) if line.strip() == "---"), 0)
    return "\n".join(lines[1:end]).replace("\t", "  ")


def kept(folder: Path) -> dict[str, Any]:
    """Return the fields of KEPT that a model card has."""
    card = read_card(folder)
    return {key: card[key] for key in KEPT if key in card}


def _is_text(value: Any) -> bool:
    """True for what can be written anywhere: no control character, no half of a character, and not YAML's ways to say nothing."""
    texts = value if isinstance(value, list) else [value]
    return all(isinstance(text, str) and text.isprintable() and text not in _NOTHING for text in texts)
