"""A checkpoint's tokenizer.json, opened by the tokenizers library alone: transformers would load torch for a table of names."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...convert.checkpoint import read_json
from ...core.errors import CheckpointError

FILE = "tokenizer.json"


@dataclass(frozen=True)
class Tokenizer:
    """An opened tokenizer.

    Attributes:
        ids: every token's text → its id, added tokens included.
        special: texts of the added tokens, and of those that have a role.
        roles: "eos_token" and its like → the token's text, as tokenizer_config.json (else special_tokens_map.json) states it.
        encode: text → ids, without what a tokenizer puts around a text.
    """

    ids: dict[str, int]
    special: frozenset[str]
    roles: dict[str, str]
    encode: Callable[[str], list[int]]

    def text(self, number: int) -> str | None:
        """Return the token of an id, or None if there is none."""
        return next((text for text, known in self.ids.items() if known == number), None)

    def named(self, numbers: list[int]) -> str:
        """Write ids with their tokens for a person."""
        return ", ".join(f"{number} {self.text(number) or '(no token)'}" for number in numbers) or "none"


def read(folder: Path) -> Tokenizer:
    """Open a folder's tokenizer.

    Raises:
        CheckpointError: there is no tokenizer.json, or the library refuses it.
    """
    from tokenizers import Tokenizer as Backend

    path = folder / FILE
    if not path.is_file():
        raise CheckpointError(f"there is no {FILE}")
    read_json(path)  # the library's own words for what is not JSON help nobody
    try:
        backend: Any = Backend.from_file(str(path))
    except Exception as error:  # it raises nothing more particular
        raise CheckpointError(f"{FILE} cannot be opened: {error}", "Download the file again.") from error
    config, roles = _json(folder / "tokenizer_config.json"), _json(folder / "special_tokens_map.json")
    stated = {name: text for table in (roles, config) for name, text in _roles(table).items()}
    added = {token.content: number for number, token in backend.get_added_tokens_decoder().items()}
    added |= _added_by_config(config)
    return Tokenizer(
        ids=backend.get_vocab(with_added_tokens=True) | added,
        special=frozenset({*added, *stated.values()}),
        roles=stated,
        encode=lambda text: list(backend.encode(text, add_special_tokens=False).ids),
    )


def _json(path: Path) -> dict[str, Any]:
    return read_json(path) if path.is_file() else {}


def _roles(table: dict[str, Any]) -> dict[str, str]:
    found = {name: _content(entry) for name, entry in table.items() if name.endswith("_token")}
    return {name: text for name, text in found.items() if text is not None}


def _added_by_config(config: dict[str, Any]) -> dict[str, int]:
    """Read the tokens that transformers adds from tokenizer_config.json, should tokenizer.json lack them."""
    table = config.get("added_tokens_decoder")
    entries = table.items() if isinstance(table, dict) else ()
    texts = {number: _content(entry) for number, entry in entries if str(number).isdecimal()}
    return {text: int(number) for number, text in texts.items() if text is not None}


def _content(entry: Any) -> str | None:
    text = entry.get("content") if isinstance(entry, dict) else entry
    return text if isinstance(text, str) else None
