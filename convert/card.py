"""The front matter of a checkpoint's model card (README.md): licence, languages, tags, and what it was made from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

README = "README.md"
KEPT = ("license", "license_name", "license_link", "language", "pipeline_tag", "tags")
"""Fields that a converted model's own card takes over."""


def read_card(folder: Path) -> dict[str, Any]:
    """Return the front matter of README.md; empty if there is none, or none that can be read (it is decoration)."""
    import yaml

    path = folder / README
    lines = path.read_text("utf-8", errors="replace").splitlines() if path.is_file() else []
    if not lines or lines[0].strip() != "---":
        return {}
    end = next((number for number, line in enumerate(lines[1:], 1) if line.strip() == "---"), 0)
    try:
        # Norwegian is "no", which YAML takes for false
        text = "\n".join(lines[1:end]).replace("\t", "  ").replace("- no\n", '- "no"\n')
        card = yaml.safe_load(text)
    except yaml.YAMLError:
        return {}
    return card if isinstance(card, dict) else {}


def kept(folder: Path) -> dict[str, Any]:
    """Return the fields of KEPT that a model card has, as far as they are texts or lists of texts."""
    card = read_card(folder)
    return {key: card[key] for key in KEPT if _is_text(card.get(key))}


def _is_text(value: Any) -> bool:
    return isinstance(value, str) or (isinstance(value, list) and all(isinstance(item, str) for item in value))
