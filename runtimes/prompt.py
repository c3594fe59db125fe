"""From a conversation with pictures to token ids, and from token ids to text as it comes, without transformers.

The checkpoint's own chat template is rendered as transformers renders it, and the `tokenizers` library reads the checkpoint's
tokenizer.json: it is what transformers runs underneath, and is there after 0.1 s (the tokenizer IR: 1 s).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

from ..convert.checkpoint import read_json
from ..convert.template_file import read_template
from ..core import tokenizer_trial
from ..core.chat_template import ChatTemplate, TemplateFault
from ..core.errors import ArtifactError, UsageError

Message = dict[str, Any]
"""{"role": …, "content": [{"type": "image"}, …, {"type": "text", "text": …}]}"""

_LENGTHS = ("max_position_embeddings", "n_positions", "max_seq_len", "seq_length")
_BROKEN = "\ufffd"


def message(role: str, text: str, pictures: int = 0) -> Message:
    """Return a message of that many pictures and, after them, a text."""
    return {"role": role, "content": [{"type": "image"}] * pictures + [{"type": "text", "text": text}]}


def context_length(config: dict[str, Any]) -> int:
    """Return how many positions a model reads at most, whatever its family calls that in config.json; 0: it does not say."""
    stated = (config.get(name) for name in _LENGTHS)
    return next((length for length in stated if isinstance(length, int) and length > 0), 0)


class Prompting(ABC):
    """Chat template and tokenizer of one artifact, wherever they lie."""

    def __init__(self, where: Path, template: str | None, special: dict[str, str]) -> None:
        """Compile the template.

        Args:
            where: the artifact, for messages.
            template: its text; None: there is none.
            special: bos_token, eos_token and so on, which it may name.

        Raises:
            ArtifactError: there is none, or it is not a template.
        """
        if template is None:
            raise ArtifactError(
                f"{where} has no chat template: its checkpoint is a base model, or lost the template.",
                "Convert the chat or instruct version of the model.",
            )
        try:
            self._template = ChatTemplate(template)
        except TemplateFault as error:
            raise ArtifactError(
                f"The chat template cannot be read: {error}.", "Convert the checkpoint again."
            ) from error
        self._special = special

    def render(self, messages: list[Message]) -> str:
        """Return the prompt, up to where the assistant begins.

        Raises:
            ArtifactError: the template runs for ever, or makes something huge.
            UsageError: it refuses the conversation.
        """
        try:
            return self._template.render(messages=messages, add_generation_prompt=True, **self._special)
        except TemplateFault as error:
            if error.limit:
                raise ArtifactError(
                    f"The chat template cannot be used: {error}.", "Convert the checkpoint again."
                ) from error
            raise UsageError(
                f"The model's chat template refuses this conversation: {error}.",
                "Say it in other words, or leave the system message out.",
            ) from error

    @abstractmethod
    def encode(self, prompt: str) -> list[int]:
        """Return the ids of a rendered prompt; no special tokens are added, they are in the template. Raises ArtifactError."""

    @abstractmethod
    def pieces(self) -> Pieces:
        """Return a decoder of one answer."""


class Prompter(Prompting):
    """Chat template and tokenizer of a folder with a checkpoint's small files."""

    def __init__(self, folder: Path, *, as_processor: bool = False) -> None:
        """Read the files.

        Args:
            folder: of them.
            as_processor: put the tokenizer's own special tokens around a prompt that does not begin with one, as the processors
                of transformers do; its tokenizers, for a model of texts, never do.

        Raises:
            ArtifactError: there is no chat template, or no tokenizer.
            CheckpointError: a file is damaged.
        """
        from tokenizers import Tokenizer

        special = _special_tokens(folder)
        super().__init__(folder, read_template(folder), special)
        self._adds, self._begin = as_processor, special.get("bos_token")
        tokenizer_trial.require_bounded_file(folder / "tokenizer.json")
        try:
            with tokenizer_trial.panics_as_errors():
                self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        except Exception as error:  # the library raises nothing more exact
            raise ArtifactError(f"{folder / 'tokenizer.json'} cannot be read: {error}.", "Convert again.") from error
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()

    def encode(self, prompt: str) -> list[int]:
        """Return the ids of a rendered prompt; no special tokens are added, they are in the template (but see `as_processor`)."""
        adds = self._adds and not (self._begin and prompt.startswith(self._begin))
        try:
            with tokenizer_trial.panics_as_errors():
                ids: list[int] = self._tokenizer.encode(prompt, add_special_tokens=adds).ids
        except Exception as error:  # the library raises nothing more exact
            raise ArtifactError(f"tokenizer.json cannot encode the prompt: {error}.", "Convert again.") from error
        return ids

    def id(self, token: str) -> int:
        """Return a token's id. Raises ArtifactError if the tokenizer has no such token."""
        found: int | None = self._tokenizer.token_to_id(token)
        if found is None:
            raise ArtifactError(f"tokenizer.json has no token {token}.", "Convert the checkpoint again.")
        return found

    def pieces(self) -> Pieces:
        """Return a decoder of one answer."""
        return Pieces(self._tokenizer)


class Decoder(Protocol):
    """A tokenizer, as far as an answer needs it: `tokenizers.Tokenizer`, or what stands for it."""

    def decode(self, ids: Sequence[int], skip_special_tokens: bool = True) -> str:
        """Return the text; a part of a character becomes U+FFFD."""


class Pieces:
    """Turns tokens into pieces of text that end between characters; special tokens give none."""

    def __init__(self, tokenizer: Decoder) -> None:
        self._tokenizer = tokenizer
        self._before: list[int] = []
        self._held: list[int] = []

    def push(self, token: int) -> str:
        """Take a token, and return the text that is whole by now, which may be empty.

        A token may be a part of a character: it is held back until the others are there.
        """
        self._held.append(token)
        text = self._decode()
        if text.endswith(_BROKEN):
            return ""
        if text:  # a special token gives none, and what follows it is no beginning
            self._before = self._held
        self._held = []
        return text

    def rest(self) -> str:
        """Return what is held back at the end, less the part of a character that never became one."""
        text = self._decode().rstrip(_BROKEN)
        self._held.clear()
        return text

    def _decode(self) -> str:
        """Decode what is held behind what came before it: SentencePiece's decoders strip the space at the beginning of a text."""
        before, whole = (
            str(self._tokenizer.decode(ids, skip_special_tokens=True))
            for ids in (self._before, [*self._before, *self._held])
        )
        return whole[len(before) :]


def _special_tokens(folder: Path) -> dict[str, str]:
    """Return bos_token, eos_token and so on, which templates may name."""
    path = folder / "tokenizer_config.json"
    stated = read_json(path) if path.is_file() else {}
    tokens = {name: value for name, value in stated.items() if name.endswith("_token")}
    contents = {name: value.get("content") if isinstance(value, dict) else value for name, value in tokens.items()}
    return {name: value for name, value in contents.items() if isinstance(value, str)}
