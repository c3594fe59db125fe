"""A conversation with a model that gives logits (`cached.Cached`): the tokens are chosen here, with numpy.

Same interface as `openvino_genai.Chat`; a question may come with pictures if the model sees.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..core.errors import UsageError
from .answers import Answer, Generation, Sampling
from .cached import Cached, Picture, StoppedError
from .prompt import Message, Prompter, Prompting, context_length, message
from .sampler import Decoding, Sampler
from .vision_processor import VisionProcessor

if TYPE_CHECKING:
    from PIL import Image

_NO_LIMIT = 2**31


class SampledGeneration(Generation):
    """One answer while it is being made."""

    def __init__(self, chat: SampledChat, ids: Sequence[int], pictures: Sequence[Picture]) -> None:
        super().__init__()
        self._chat, self._ids, self._pictures = chat, ids, pictures
        self._finished = "length"
        self._times: list[float] = []
        self._asked = time.perf_counter()

    def _generate(self) -> None:
        chat, rules = self._chat, self._chat.rules
        pieces = chat.prompter.pieces()
        room = min(rules.max_new_tokens, chat.limit - len(self._ids))
        try:
            logits = chat.model.prefill(self._ids, self._pictures, self._canceled)
        except StoppedError:
            return
        used = np.zeros(len(logits), bool)
        used[np.asarray(self._ids)] = True
        while not self._canceled.is_set():
            token = chat.sampler.choose(logits, used)
            used[token] = True
            self._times.append(time.perf_counter())
            if token in rules.stop_token_ids:
                self._finished = "stop"
                break
            if piece := pieces.push(token):
                self._show(piece)
            if len(self._times) == room:
                break
            logits = chat.model.step(token)
        if piece := pieces.rest():
            self._show(piece)

    def _forget(self) -> None:
        self._chat.forget()

    def _finish(self, shown: str, interrupted: bool) -> Answer:
        self._chat.remember(shown)
        first, last = (self._times[0], self._times[-1]) if self._times else (time.perf_counter(), 0.0)
        return Answer(
            text=shown,
            finish="interrupted" if interrupted else self._finished,
            prompt_tokens=len(self._ids),
            tokens=len(self._times),
            seconds_to_first=first - self._asked,
            tokens_per_second=(len(self._times) - 1) / (last - first) if last > first else 0.0,
        )


@dataclass(frozen=True)
class Known:
    """What must be known of any model that talks, besides the model.

    Attributes:
        prompter: its chat template and tokenizer.
        rules: its own way of choosing tokens.
        limit: positions that it reads at most; 0: not stated.
        rows: of its table of embeddings; 0: not stated.
    """

    prompter: Prompting
    rules: Decoding
    limit: int
    rows: int

    @classmethod
    def from_folder(cls, folder: Path, config: dict[str, Any], sight: VisionProcessor | None = None) -> Known:
        """Read an artifact's small files.

        Args:
            folder: of them.
            config: its config.json.
            sight: of a vision-language model, which has read tokenizer and template.

        Raises:
            ArtifactError: there is no chat template, or no tokenizer.
            CheckpointError: a file is damaged.
        """
        rows = config.get("vocab_size")
        return cls(
            sight.prompter if sight else Prompter(folder),
            Decoding.from_folder(folder),
            context_length(config),
            rows if isinstance(rows, int) else 0,
        )


class SampledChat:
    """A conversation with one artifact.

    Attributes:
        model: what gives the logits; a subclass sets it.
        messages: the conversation so far, as role and content; of a vision-language model content is a list of parts, of type
            "image" or "text", of others it is the text.
    """

    model: Cached

    def __init__(
        self, known: Known, system: str | None, sampling: Sampling | None, sight: VisionProcessor | None
    ) -> None:
        """Take what is known. A subclass loads the model, and then calls `reset`.

        Args:
            known: of the model.
            system: the system message.
            sampling: what the user chose.
            sight: of a vision-language model.

        Raises:
            ArtifactError: the chat template cannot be used.
            UsageError: the model's template drops or refuses system messages.
        """
        self.limit = known.limit or _NO_LIMIT
        self.prompter = known.prompter
        self.rules = known.rules
        (sampling or Sampling()).apply(self.rules)
        self._system, self._sight = system, sight
        self._rows = known.rows
        self._check_system()

    def reset(self) -> None:
        """Begin a new conversation, with the same system message and the same seed."""
        self.messages: list[Message] = [self._message("system", self._system)] if self._system else []
        self._pictures: list[Picture] = []
        self._added = 0
        self.sampler = Sampler(self.rules)
        self.model.clear()  # a prompt that is read in two parts gives other roundings: the same seed, other words

    def prompt(
        self, question: str, images: Sequence[Path | Image.Image] = ()
    ) -> tuple[list[Message], list[int], list[Picture]]:
        """Return the conversation with a question added, its ids, and its pictures; nothing is kept of it. Raises as `ask`."""
        pictures = [*self._pictures, *map(self._prepare, images)]
        messages = [*self.messages, self._message("user", question, len(images))]
        ids = (
            self._sight.prompt(messages, pictures)
            if self._sight
            else self.prompter.encode(self.prompter.render(messages))
        )
        if self._rows and max(ids, default=0) >= self._rows:
            raise UsageError(
                "The question holds a special token that the model has no row for.", "Say it in other words."
            )
        if len(ids) >= self.limit:
            raise UsageError(
                f"The conversation has {len(ids)} tokens with this question, the model reads {self.limit}.",
                "/reset begins a new one.",
            )
        return messages, ids, pictures

    def ask(self, question: str, images: Sequence[Path | Image.Image] = ()) -> SampledGeneration:
        """Add a question to the conversation and return its answer in the making.

        Args:
            question: the text, which follows the pictures.
            images: files or opened pictures, of any size and mode.

        Raises:
            UsageError: a picture cannot be read, the model takes none, the question holds placeholders of its own, the template
                refuses it, or the conversation is longer than the model can read.
        """
        messages, ids, pictures = self.prompt(question, images)
        generation = SampledGeneration(self, ids, pictures)
        self.messages, self._pictures, self._added = messages, pictures, len(images)
        return generation

    def reply(self, question: str, images: Sequence[Path | Image.Image] = ()) -> Answer:
        """Ask and wait for the whole answer."""
        with self.ask(question, images) as generation:
            return generation.answer()

    def remember(self, answer: str) -> None:
        """Add the answer to the conversation."""
        self.messages.append(self._message("assistant", answer))

    def forget(self) -> None:
        """Take the last question, which has no answer, and its pictures out of the conversation."""
        self.messages.pop()
        del self._pictures[len(self._pictures) - self._added :]

    def _message(self, role: str, text: str, pictures: int = 0) -> Message:
        return message(role, text, pictures) if self._sight else {"role": role, "content": text}

    def _prepare(self, image: Path | Image.Image) -> Picture:
        from ..core.picture_file import open_picture

        if self._sight is None:
            raise UsageError("This model takes no pictures.")
        return self._sight.picture(open_picture(image) if isinstance(image, Path) else image)

    def _check_system(self) -> None:
        if not self._system:
            return
        prompt = self.prompter.render([self._message("system", self._system), self._message("user", "")])
        if self._system.strip() not in prompt:
            raise UsageError(
                "This model's chat template leaves system messages out.", "Say it in the question instead."
            )
