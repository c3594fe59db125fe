"""Chat with a converted GLM-Edge-V on plain openvino: openvino_genai does not know the model.

Same interface as `openvino_genai.Chat`; a question may come with pictures.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...convert.checkpoint import read_json
from ...core.errors import ArtefactError, UsageError
from ...models.glm_edge_v.facts import MODEL_TYPE, check_placeholders, image_tokens
from .answers import Answer, Generation, Sampling, check_device
from .openvino_cached import LANGUAGE, TEXT_EMBEDDINGS, VISION_EMBEDDINGS, CachedModel, Picture, StoppedError
from .prompt import Message, Prompter, message
from .sampler import Decoding, Sampler

if TYPE_CHECKING:
    from PIL import Image

_IRS = (LANGUAGE, TEXT_EMBEDDINGS, VISION_EMBEDDINGS)
_NEEDED = (
    *_IRS,
    *(name.replace(".xml", ".bin") for name in _IRS),
    "config.json",
    "preprocessor_config.json",
    "tokenizer.json",
)


def sees(folder: Path) -> bool:
    """Tell whether a folder holds a model that takes pictures."""
    return (folder / VISION_EMBEDDINGS).is_file()


class VisionGeneration(Generation):
    """One answer while it is being made."""

    def __init__(self, chat: VisionChat, ids: Sequence[int], pictures: Sequence[Picture]) -> None:
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
            logits = chat.model.prefill(self._ids, self._pictures, self._cancelled)
        except StoppedError:
            return
        used = np.zeros(len(logits), bool)
        used[np.asarray(self._ids)] = True
        while not self._cancelled.is_set():
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
        self._chat.messages.append(message("assistant", shown))
        first, last = (self._times[0], self._times[-1]) if self._times else (time.perf_counter(), 0.0)
        return Answer(
            text=shown,
            finish="interrupted" if interrupted else self._finished,
            prompt_tokens=len(self._ids),
            tokens=len(self._times),
            seconds_to_first=first - self._asked,
            tokens_per_second=(len(self._times) - 1) / (last - first) if last > first else 0.0,
        )


class VisionChat:
    """A conversation with one artefact.

    Attributes:
        messages: the conversation so far, as role and content; content is a list of parts, of type "image" or "text".
    """

    def __init__(
        self,
        folder: Path,
        *,
        device: str = "CPU",
        system: str | None = None,
        sampling: Sampling | None = None,
        properties: Mapping[str, Any] | None = None,
    ) -> None:
        """Load the artefact; `properties` are OpenVINO's, for example {"EXECUTION_MODE_HINT": "ACCURACY"}.

        Raises:
            ArtefactError: the folder is no GLM-Edge-V, or the runtime cannot load it.
            CheckpointError: one of its small files is damaged.
            UsageError: the machine has no such device, or the model's template drops system messages.
        """
        from ...models.glm_edge_v.pixels import Preprocess

        config = _read_config(folder)
        check_device(device)
        self._preprocess = Preprocess.from_folder(folder)
        vision = config["vision_config"]
        self._rows = image_tokens(vision["image_size"], vision["patch_size"])
        self._placeholder = int(config["boi_token_id"])
        self.limit = int(config.get("max_position_embeddings") or 2**31)
        self.prompter = Prompter(folder)
        self._system = system
        self.rules = Decoding.from_folder(folder)
        (sampling or Sampling()).apply(self.rules)
        self._check_system()
        self.model = CachedModel(folder, device, self._placeholder, properties)
        self.reset()

    def reset(self) -> None:
        """Begin a new conversation, with the same system message and the same seed."""
        self.messages: list[Message] = [message("system", self._system)] if self._system else []
        self._pictures: list[Picture] = []
        self.sampler = Sampler(self.rules)
        self.model.clear()  # a prompt that is read in two parts gives other roundings: the same seed, other words

    def prompt(
        self, question: str, images: Sequence[Path | Image.Image] = ()
    ) -> tuple[list[Message], list[int], list[Picture]]:
        """Return the conversation with a question added, its ids, and its pictures; nothing is kept of it. Raises as `ask`."""
        pictures = [*self._pictures, *map(self._prepare, images)]
        messages = [*self.messages, message("user", question, len(images))]
        ids = self.prompter.encode(self.prompter.render(messages))
        check_placeholders([ids.count(self._placeholder)], self._rows, len(pictures))
        if len(ids) >= self.limit:
            raise UsageError(
                f"The conversation has {len(ids)} tokens with this question, the model reads {self.limit}.",
                "/reset begins a new one.",
            )
        return messages, ids, pictures

    def ask(self, question: str, images: Sequence[Path | Image.Image] = ()) -> VisionGeneration:
        """Add a question to the conversation and return its answer in the making.

        Args:
            question: the text, which follows the pictures.
            images: files or opened pictures, of any size and mode.

        Raises:
            UsageError: a picture cannot be read, the question holds placeholders of its own, or the conversation is longer
                than the model can read.
        """
        messages, ids, pictures = self.prompt(question, images)
        generation = VisionGeneration(self, ids, pictures)
        self.messages, self._pictures = messages, pictures
        return generation

    def reply(self, question: str, images: Sequence[Path | Image.Image] = ()) -> Answer:
        """Ask and wait for the whole answer."""
        with self.ask(question, images) as generation:
            return generation.answer()

    def forget(self) -> None:
        """Take the last question, which has no answer, and its pictures out of the conversation."""
        asked = self.messages.pop()
        count = sum(part["type"] == "image" for part in asked["content"])
        del self._pictures[len(self._pictures) - count :]

    def _prepare(self, image: Path | Image.Image) -> Picture:
        from ...models.glm_edge_v.pixels import open_picture

        return Picture(self._preprocess([open_picture(image) if isinstance(image, Path) else image]))

    def _check_system(self) -> None:
        if not self._system:
            return
        if self._system not in self.prompter.render([message("system", self._system), message("user", "")]):
            raise UsageError(
                "This model's chat template leaves system messages out.", "Say it in the question instead."
            )


def _read_config(folder: Path) -> dict[str, Any]:
    missing = [name for name in _NEEDED if not (folder / name).is_file()]
    if missing:
        raise ArtefactError(
            f"{folder} is not a whole vision model: {', '.join(missing)} missing.",
            "Give the folder that `edgeconv openvino` wrote.",
        )
    config = read_json(folder / "config.json")
    if config.get("model_type") != MODEL_TYPE:
        raise ArtefactError(
            f"{folder} is a model of type {config.get('model_type')}; with pictures only {MODEL_TYPE} is known here.",
            "openvino_genai.VLMPipeline may run it.",
        )
    return config
