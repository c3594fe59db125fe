"""A folder's tokenizer files, read without a library: vocabularies, added tokens, special tokens, chat templates.

What they say together is decided here, once for all formats: which tokens there are (`Files.added`, `Files.left_out`), what
stands around a text (`Files.frame_flags`), and which chat templates there are (`Files.templates`).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Any

from . import sentencepiece_file, template_files
from .digest import sha256_file
from .errors import CheckpointError
from .json_file import read_json
from .sentencepiece_file import SentencePiece

ROLES = ("bos", "eos", "unk", "sep", "pad", "mask")
_STALE = "Tokenizer and config.json are of different models or revisions; download all files again."


@dataclass(frozen=True)
class Added:
    """A token that was added to the vocabulary proper; text is cut at it before anything else happens."""

    id: int
    content: str
    special: bool
    rstrip: bool = False
    """White space behind it is swallowed."""
    lstrip: bool = False
    normalized: bool = False
    single_word: bool = False


@dataclass
class Files:
    """What a folder holds; absent files are empty."""

    folder: Path
    tokenizer: dict[str, Any] = field(default_factory=dict)
    config: dict[str, Any] = field(default_factory=dict)
    special_map: dict[str, Any] = field(default_factory=dict)
    added_file: dict[str, Any] = field(default_factory=dict)
    model_config: dict[str, Any] = field(default_factory=dict)
    generation_config: dict[str, Any] = field(default_factory=dict)

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
    def listed(self) -> dict[int, Added]:
        """All added tokens by id. What tokenizer_config.json says of one comes before tokenizer.json, as in transformers."""
        return {
            token.id: token for token in (*self._listed_elsewhere[0], *self._listed_here, *self._listed_elsewhere[1])
        }

    def beyond_tokenizer_json(self) -> list[Added]:
        """Return the added tokens that the model has a row for and that tokenizer.json does not hold like this."""
        here = set(self._listed_here)
        return [token for token in self.added.values() if token not in here]

    @cached_property
    def _listed_here(self) -> list[Added]:
        return _added((entry.get("id"), entry) for entry in self.tokenizer.get("added_tokens") or [])

    @cached_property
    def _listed_elsewhere(self) -> tuple[list[Added], list[Added]]:
        """Those of added_tokens.json, and those of tokenizer_config.json."""
        config = self.config.get("added_tokens_decoder") or {}
        return (
            _added((number, {"content": content}) for content, number in self.added_file.items()),
            _added(config.items() if isinstance(config, dict) else [(None, {})]),
        )

    @cached_property
    def added(self) -> dict[int, Added]:
        """The added tokens that the model has a row for, by id."""
        return {number: token for number, token in self.listed.items() if token not in self.left_out}

    @property
    def rows(self) -> int | None:
        """Rows of the embedding, as config.json states them."""
        text = self.model_config.get("text_config")
        inner = text.get("vocab_size") if isinstance(text, dict) else None
        rows = self.model_config.get("vocab_size", inner)
        return rows if type(rows) is int else None

    @cached_property
    def left_out(self) -> list[Added]:
        """Added tokens beyond the embedding, which no format gets: the model could neither read nor write them.

        Gemma 3's text models have one for pictures, others one for padding. A token that is needed is not left out.

        Raises:
            CheckpointError: the vocabulary proper is larger than the embedding, or a token without a row is needed.
        """
        rows = self.rows
        if rows is None:
            return []
        vocab = self.model.get("vocab")
        numbers = range(len(vocab)) if isinstance(vocab, list) else vocab.values() if isinstance(vocab, dict) else ()
        highest = max((number for number in numbers if type(number) is int), default=-1)
        if highest >= rows:
            raise CheckpointError(
                f"tokenizer.json has a token {highest}, but the model's table of embeddings has only {rows} rows.",
                _STALE,
            )
        beyond = [token for number, token in sorted(self.listed.items()) if number >= rows]
        for token in beyond:
            user = self._user_of(token)
            if user:
                raise CheckpointError(
                    f"The tokenizer adds a token {token.id} ({token.content!r}), the model's table of embeddings has only "
                    f"{rows} rows, and {user} it.",
                    _STALE,
                )
        return beyond

    def notes(self) -> list[str]:
        """Return what of these files cannot be taken over as it is, as sentences."""
        notes = []
        if self.left_out:
            shown = ", ".join(f"{token.id} {token.content}" for token in self.left_out[:3])
            more = f" and {len(self.left_out) - 3} more" if len(self.left_out) > 3 else ""
            notes.append(f"the tokenizer adds {shown}{more}, for which the model has no row: left out")
        if self.templates() and "default" not in self.templates():
            names = ", ".join(sorted(self.templates()))
            notes.append(f"no chat template is the default one ({names}): a runtime that is not told a name has none")
        return notes

    def _user_of(self, token: Added) -> str | None:
        """Say who needs a token; None: nobody."""
        for name, table in (("config.json", self.model_config), ("generation_config.json", self.generation_config)):
            if any(token.id == number for number in _token_ids(table)):
                return f"{name} names"
        for role in ("bos", "eos"):
            if self.special(role) == token.content:
                return f"tokenizer_config.json takes it as {role}_token and thus needs"
        return "the chat template writes" if any(token.content in text for text in self.templates().values()) else None

    def frame_flags(self) -> dict[str, bool] | None:
        """Return role ("bos", "eos") → whether its token stands around a text; None: tokenizer.json's post-processor says it.

        The post-processor is what the tokenizers library runs. Where tokenizer.json has none that puts tokens (null, or
        ByteLevel's, which moves offsets alone), the flags of tokenizer_config.json say what the model was trained with: the
        Llama classes of transformers 4 made their post-processor of them, and so does llama.cpp's converter; transformers 5
        forgets them if there is a tokenizer.json (DeepSeek's models then lose their begin token). A tokenizer.model alone
        is run by classes that put a begin token in front unless they are told not to.
        """
        if self.tokenizer and _puts(self.tokenizer.get("post_processor")):
            return None
        default = {"bos": not self.tokenizer, "eos": False}
        return {role: bool(self.config.get(f"add_{role}_token", value)) for role, value in default.items()}

    def special(self, role: str) -> str | None:
        """Return the text of a special token such as "bos"."""
        for table in (self.config, self.special_map):
            entry = table.get(f"{role}_token")
            text = entry.get("content") if isinstance(entry, dict) else entry
            if isinstance(text, str):
                return text
        return None

    def id_of(self, role: str) -> int | None:
        """Return the id of a special token such as "bos"; None: there is none, or its text is not a token."""
        text, vocab = self.special(role), self.model.get("vocab")
        if text is None:
            return None
        listed = [token.id for token in self.added.values() if token.content == text]
        known = vocab.get(text) if isinstance(vocab, dict) else None
        number = listed[0] if listed else known
        if number is None and not self.tokenizer and self.pieces:
            number = next((at for at, piece in enumerate(self.pieces.pieces) if piece.text == text), None)
        return number if type(number) is int else None

    @cached_property
    def pieces(self) -> SentencePiece | None:
        """What tokenizer.model holds; None if there is none, or it is not BPE of sentencepiece, as some families have it."""
        if self.sentencepiece is None:
            return None
        try:
            model = sentencepiece_file.read(self.sentencepiece)
        except CheckpointError:
            return None
        return model if model.is_bpe else None

    def strips(self) -> bool:
        """True if most markers swallow the white space behind them."""
        markers = [token.rstrip for token in self.added.values() if token.special]
        return sum(markers) * 2 > len(markers)

    def templates(self) -> dict[str, str]:
        """Return chat templates by name, as `template_files.named` does."""
        return template_files.named(self.folder, self.config.get("chat_template"))

    def sound_templates(self) -> dict[str, str]:
        """Return `templates()`, looked at. Raises CheckpointError as `template_files.require_sound` does."""
        found = self.templates()
        template_files.require_sound(found)
        return found


def _added(entries: Iterable[tuple[Any, Any]]) -> list[Added]:
    try:
        return [
            Added(
                int(number), str(entry["content"]), bool(entry.get("special")),
                rstrip=bool(entry.get("rstrip")), lstrip=bool(entry.get("lstrip")),
                normalized=bool(entry.get("normalized", not entry.get("special"))),
                single_word=bool(entry.get("single_word")),
            )
            for number, entry in entries
        ]  # fmt: skip
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise CheckpointError(
            "The list of added tokens in tokenizer.json or tokenizer_config.json is not one of transformers.",
            "Download the tokenizer's files again.",
        ) from error


def _token_ids(table: dict[str, Any]) -> Iterator[int]:
    """Give the ids of tokens that a config names, in its parts too: eos_token_id, image_token_index and the like."""
    for key, value in table.items():
        if isinstance(value, dict):
            yield from _token_ids(value)
        elif key.endswith(("token_id", "token_index", "token_ids")):
            yield from (number for number in (value if isinstance(value, list) else [value]) if type(number) is int)


def _puts(step: Any) -> bool:
    """True for a post-processor that says what stands around a text, be it nothing."""
    if not isinstance(step, dict):
        return False
    if step.get("type") == "Sequence":
        return any(_puts(inner) for inner in step.get("processors") or [])
    return step.get("type") != "ByteLevel"


_NAMES = (
    "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json",
    "config.json", "generation_config.json",
)  # fmt: skip


def read(folder: Path) -> Files:
    """Read a folder. Raises CheckpointError for a file that is not JSON object."""
    return Files(folder, *(_object(folder / name) for name in _NAMES))


def templates(folder: Path) -> dict[str, str]:
    """Return a folder's chat templates by name, without its vocabulary. Raises CheckpointError as `read` does."""
    return Files(folder, {}, *(_object(folder / name) for name in _NAMES[1:])).templates()


def digest(folder: Path) -> str | None:
    """Return what all folders have in common whose tokenizer is the same by content; None: there is no tokenizer.json."""
    if not (folder / "tokenizer.json").is_file():
        return None
    others = ("tokenizer.model", "chat_template.jinja", "chat_template.json")
    named = [folder / name for name in (*_NAMES, *others)]
    named += sorted((folder / "additional_chat_templates").glob("*.jinja"))
    found = [(path.name, sha256_file(path)) for path in named if path.is_file()]
    return sha256(json.dumps(found).encode()).hexdigest()


def _object(path: Path) -> dict[str, Any]:
    return read_json(path) if path.is_file() else {}
