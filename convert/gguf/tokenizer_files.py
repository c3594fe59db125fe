"""A checkpoint's tokenizer files, read but not interpreted: vocabularies, added tokens, special tokens, chat templates."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from ...core.chat_template import TemplateFault, require_bounded
from ...core.errors import CheckpointError
from ..checkpoint import read_json

ROLES = ("bos", "eos", "unk", "sep", "pad", "mask")


@dataclass(frozen=True)
class Added:
    """A token that was added to the vocabulary proper; text is cut at it before anything else happens."""

    id: int
    content: str
    special: bool
    rstrip: bool = False
    """White space behind it is swallowed."""


@dataclass
class Files:
    """What a folder holds; absent files are empty."""

    folder: Path
    tokenizer: dict[str, Any] = field(default_factory=dict)
    config: dict[str, Any] = field(default_factory=dict)
    special_map: dict[str, Any] = field(default_factory=dict)
    added_file: dict[str, Any] = field(default_factory=dict)

    @property
    def model(self) -> dict[str, Any]:
        """The model of tokenizer.json."""
        model = self.tokenizer.get("model")
        return model if isinstance(model, dict) else {}

    @property
    def sentencepiece(self) -> Path | None:
        """tokenizer.model, if there is one; some families keep something else under this name."""
        path = self.folder / "tokenizer.model"
        return path if path.is_file() else None

    @cached_property
    def added(self) -> dict[int, Added]:
        """Added tokens by id. What tokenizer_config.json says of one comes before tokenizer.json, as in transformers."""
        found: dict[int, Added] = {}
        try:
            entries = [(number, {"content": content}) for content, number in self.added_file.items()]
            entries += [(entry["id"], entry) for entry in self.tokenizer.get("added_tokens") or []]
            entries += list((self.config.get("added_tokens_decoder") or {}).items())
            for number, entry in entries:
                flags = bool(entry.get("special")), bool(entry.get("rstrip"))
                found[int(number)] = Added(int(number), str(entry["content"]), *flags)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise CheckpointError(
                "The list of added tokens in tokenizer.json or tokenizer_config.json is not one of transformers.",
                "Download the tokenizer's files again.",
            ) from error
        return found

    def special(self, role: str) -> str | None:
        """Return the text of a special token such as "bos"."""
        for table in (self.config, self.special_map):
            entry = table.get(f"{role}_token")
            text = entry.get("content") if isinstance(entry, dict) else entry
            if isinstance(text, str):
                return text
        return None

    def strips(self) -> bool:
        """True if most markers swallow the white space behind them."""
        markers = [token.rstrip for token in self.added.values() if token.special]
        return sum(markers) * 2 > len(markers)

    def templates(self) -> dict[str, str]:
        """Return chat templates by name; files of their own come before tokenizer_config.json, as in transformers."""
        main = self.folder / "chat_template.jinja"
        if main.is_file():
            extra = sorted((self.folder / "additional_chat_templates").glob("*.jinja"))
            return {"default": _text(main), **{path.stem: _text(path) for path in extra}}
        stated = self.config.get("chat_template")
        old = self.folder / "chat_template.json"
        if stated is None and old.is_file():
            stated = read_json(old).get("chat_template")
        if isinstance(stated, str):
            return {"default": stated}
        if isinstance(stated, list):
            named = [(entry.get("name"), entry.get("template")) for entry in stated if isinstance(entry, dict)]
            return {name: text for name, text in named if isinstance(name, str) and isinstance(text, str)}
        return {}

    def sound_templates(self) -> dict[str, str]:
        """Return `templates()`, looked at: they are programs, which llama.cpp and others will run.

        Raises:
            CheckpointError: one runs for ever, or fills the memory.
        """
        found = self.templates()
        for name, text in found.items():
            try:
                require_bounded(text)
            except TemplateFault as fault:
                named = "" if name == "default" else f" {name!r}"
                raise CheckpointError(
                    f"The chat template{named} (chat_template.jinja or tokenizer_config.json) cannot be used: {fault}.",
                    "It is damaged or hostile. Take another revision, or the template of the model that this one comes from.",
                ) from fault
        return found


def _text(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except UnicodeDecodeError as error:
        raise CheckpointError(f"{path.name} is not UTF-8 text.", "Download the file again.") from error


def read(folder: Path) -> Files:
    """Read a folder. Raises CheckpointError for a file that is no JSON object."""
    names = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json")
    return Files(folder, *(read_json(folder / name) if (folder / name).is_file() else {} for name in names))
