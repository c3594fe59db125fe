"""What the chats of all runtimes share: how a token is chosen, an answer in the making, and the answer.

Generation runs in a thread of its own. A runtime holds the calling thread until a token, or the whole answer, is done; a
Ctrl-C would wait for it, and would then fall anywhere in the loop.
"""

from __future__ import annotations

import queue
import re
import secrets
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from ..core.chat_template import TemplateFault, render_in_genai, require_bounded
from ..core.errors import ArtifactError, EdgeconvError, UsageError
from ..core.lifetime import leave_behind
from ..core.openvino_core import openvino_core

_META_DEVICES = ("AUTO", "HETERO", "MULTI", "BATCH")
_DRAWN = re.compile(r" at row \d+, column \d+:$")
PATIENCE = 1.8
"""Seconds that a generation has to end once it is asked to; a token of a large model takes one. A long prompt takes minutes."""


@dataclass(frozen=True)
class Sampling:
    """How the next token is chosen; None leaves a value to the artifact's generation_config.json.

    A temperature of 0 is greedy decoding. A seed of None draws a new one for every conversation.

    Raises:
        UsageError: a value outside its range.
    """

    max_new_tokens: int = 512
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    repetition_penalty: float | None = None
    seed: int | None = None

    def __post_init__(self) -> None:
        ranges = {
            "--max-new-tokens must be at least 1": self.max_new_tokens >= 1,
            "--temperature must not be negative": self.temperature is None or self.temperature >= 0,
            "--top-p must be above 0 and at most 1": self.top_p is None or 0 < self.top_p <= 1,
            "--top-k must be at least 1": self.top_k is None or self.top_k >= 1,
            "--repetition-penalty must be above 0": self.repetition_penalty is None or self.repetition_penalty > 0,
            "--seed must not be negative": self.seed is None or self.seed >= 0,
        }
        for rule, kept in ranges.items():
            if not kept:
                raise UsageError(f"{rule}.")

    def apply(self, config: Any) -> None:
        """Write these choices into an `openvino_genai.GenerationConfig`, or what has its attributes."""
        config.max_new_tokens = self.max_new_tokens
        if self.temperature == 0:
            config.do_sample = False
        elif (self.temperature, self.top_p, self.top_k) != (None, None, None):
            config.do_sample = True
        values = {"top_p": self.top_p, "top_k": self.top_k, "repetition_penalty": self.repetition_penalty}
        values["temperature"] = self.temperature or None
        for name, value in values.items():
            if value is not None:
                setattr(config, name, value)
        config.rng_seed = secrets.randbits(32) if self.seed is None else self.seed


@dataclass(frozen=True)
class Answer:
    """What came of one question. `finish` is "stop", "length" or "interrupted"; speeds are tokens per second."""

    text: str
    finish: str
    prompt_tokens: int
    tokens: int
    seconds_to_first: float
    tokens_per_second: float


class Generation(ABC):
    """One answer while it is being made: iterate for the pieces of text, then ask `answer()`.

    It begins with the first piece that is asked for, so that a Ctrl-C always falls into the loop over the pieces. Use it as a
    context manager: leaving it stops the generation and waits for its thread, `PATIENCE` seconds at most: then the thread is
    left behind. A question whose answer was never asked for is forgotten.
    """

    def __init__(self) -> None:
        self._pieces: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._shown: list[str] = []
        self._canceled = threading.Event()
        self._failure: BaseException | None = None
        self._begun = self._settled = False
        self._canceled_at: float | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)

    @abstractmethod
    def _generate(self) -> None:
        """Make the answer, in the thread; call `_show` with each piece of text, and end when `_canceled` is set."""

    @abstractmethod
    def _finish(self, shown: str, interrupted: bool) -> Answer:
        """Add the answer to the conversation and return it; `shown` is the text so far."""

    @abstractmethod
    def _forget(self) -> None:
        """Take the question out of the conversation."""

    def _run(self) -> None:
        try:
            self._generate()
        except BaseException as error:  # noqa: BLE001 - carried to the thread that asks for the answer
            self._failure = error
        finally:
            self._pieces.put(None)

    def _show(self, piece: str) -> None:
        self._shown.append(piece)
        self._pieces.put(piece)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._thread.is_alive():
            self.cancel()
            self._thread.join(PATIENCE)
        if self._thread.is_alive():
            leave_behind(self._thread)
        elif not self._settled:
            self._settled = True
            self._forget()

    def __iter__(self) -> Iterator[str]:
        self._begin()
        while (piece := self._pieces.get()) is not None:
            yield piece

    def _begin(self) -> None:
        if not self._begun:
            self._begun = True
            self._thread.start()

    def cancel(self) -> None:
        """Ask for an end after the token that is being made."""
        self._canceled_at = self._canceled_at or time.monotonic()
        self._canceled.set()

    @property
    def stuck(self) -> bool:
        """Whether it has not ended in `PATIENCE` seconds after it was asked to."""
        return self._canceled_at is not None and time.monotonic() - self._canceled_at > PATIENCE

    def answer(self) -> Answer:
        """Wait for the end and return the whole answer; the conversation then holds it too.

        Raises:
            ArtifactError: the runtime failed.
        """
        self._begin()
        self._thread.join()
        self._settled = True
        if self._failure is None:
            return self._finish("".join(self._shown), self._canceled.is_set())
        self._forget()
        if isinstance(self._failure, EdgeconvError):
            raise self._failure
        raise ArtifactError(f"The generation failed: {reason(self._failure)}.") from self._failure


def check_device(device: str) -> None:
    """Raise UsageError if the machine has no such OpenVINO device, or one of those behind HETERO: and the like is not there."""
    known = {name.partition(".")[0] for name in openvino_core().available_devices}
    first, _, rest = device.partition(":")
    named = [first, *(part.strip("-").partition("(")[0] for part in rest.split(",") if first in _META_DEVICES and part)]
    if any(name.partition(".")[0] not in {*known, *_META_DEVICES} for name in named):
        raise UsageError(f"There is no device {device} here.", f"OpenVINO sees: {', '.join(sorted(known))}.")


def require_cpu(device: str, what: str, runtime: str) -> None:
    """Raise UsageError for another device than the CPU, on which alone the packaged `runtime` runs `what`."""
    if device != "CPU":
        raise UsageError(f"{what} cannot run on {device} here.", f"Leave --device out: {runtime} runs on the CPU here.")


def require_bounded_template(tokenizer: Any, folder: Any, conversation: list[dict[str, Any]] | None = None) -> None:
    """Raise ArtifactError if the template of an `openvino_genai.Tokenizer` runs for ever: its own Jinja cannot be stopped here.

    Without a `conversation` plain ones are tried, in Jinja alone; a template may be made to run for ever on others, or in
    openvino_genai alone, which is asked in a process of its own then.
    """
    try:
        require_bounded(str(tokenizer.chat_template or ""), conversation)
        if conversation and tokenizer.chat_template:
            _require_bounded_in_genai(folder, conversation)
    except TemplateFault as fault:
        raise ArtifactError(f"The chat template in the tokenizer's IR of {folder} cannot be used: {fault}.") from fault


def _require_bounded_in_genai(folder: Any, conversation: list[dict[str, Any]]) -> None:
    try:
        render_in_genai(Path(folder), conversation)
    except TemplateFault as fault:
        if fault.limit:
            raise


def cannot_load(path: Path, device: str, error: BaseException) -> ArtifactError:
    """Return the error of a folder, or of an IR in one, that the runtime refuses."""
    folder = path.parent if path.suffix == ".xml" else path
    return ArtifactError(
        f"{path} cannot be loaded on {device}: {reason(error)}.",
        f"`edgeconv inspect {folder}` says whether it is whole.",
    )


def reason(error: BaseException) -> str:
    """Return the last line of an OpenVINO message: the ones before it name the C++ file that complains.

    openvino_genai's Jinja draws the place below what it says, and says it again for each bracket around that place.
    """
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    drawn = next((line for line in lines if _DRAWN.search(line)), lines[-1])
    return drawn.removeprefix("Minja's error: ").rstrip(".:")
