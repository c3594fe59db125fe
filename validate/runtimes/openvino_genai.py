"""Chat with a converted model in `openvino_genai.LLMPipeline`, the runtime that most users of the IR will run.

Generation runs in a thread of its own. The pipeline calls its streamer from C++ threads, swallows what the streamer
raises, and holds the calling thread until it is done; a Ctrl-C would wait for the whole answer.
"""

from __future__ import annotations

import queue
import secrets
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from ...core.errors import ArtefactError, UsageError

_NEEDED = ("openvino_model.xml", "openvino_model.bin", "openvino_tokenizer.xml", "openvino_detokenizer.xml")
_META_DEVICES = ("AUTO", "HETERO", "MULTI", "BATCH")


@dataclass(frozen=True)
class Sampling:
    """How the next token is chosen; None leaves a value to the artefact's generation_config.json.

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
        """Write these choices into an `openvino_genai.GenerationConfig`."""
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


class Generation:
    """One answer while it is being made: iterate for the pieces of text, then ask `answer()`.

    Use it as a context manager: leaving it stops the generation and waits for its thread.
    """

    def __init__(self, pipeline: Any, history: Any, config: Any) -> None:
        self._history = history
        self._pieces: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._shown: list[str] = []
        self._cancelled = threading.Event()
        self._result: Any = None
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._generate, args=(pipeline, config), daemon=True)

    def _generate(self, pipeline: Any, config: Any) -> None:
        from openvino_genai import StreamingStatus

        def stream(piece: str) -> Any:
            self._shown.append(piece)
            self._pieces.put(piece)
            return StreamingStatus.STOP if self._cancelled.is_set() else StreamingStatus.RUNNING

        try:
            self._result = pipeline.generate(self._history, config, stream)
        except BaseException as error:  # noqa: BLE001 - carried to the thread that asks for the answer
            self._failure = error
        finally:
            self._pieces.put(None)

    def __enter__(self) -> Generation:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._thread.is_alive():
            self.cancel()
        self._thread.join()

    def __iter__(self) -> Iterator[str]:
        while (piece := self._pieces.get()) is not None:
            yield piece

    def cancel(self) -> None:
        """Ask for an end after the token that is being made."""
        self._cancelled.set()

    def answer(self) -> Answer:
        """Wait for the end and return the whole answer; the conversation then holds it too.

        Raises:
            ArtefactError: the runtime failed.
        """
        self._thread.join()
        if self._failure is not None:
            self._history.pop()  # the question that has no answer
            raise ArtefactError(f"The generation failed: {_reason(self._failure)}.") from self._failure
        interrupted, metrics = self._cancelled.is_set(), self._result.perf_metrics
        # The pipeline makes one more token after it is told to stop; the conversation holds what the user has seen.
        text = "".join(self._shown) if interrupted else self._result.texts[0]
        self._history.append({"role": "assistant", "content": text})
        return Answer(
            text=text,
            finish="interrupted" if interrupted else self._result.finish_reasons[0].name.lower(),
            prompt_tokens=metrics.get_num_input_tokens(),
            tokens=metrics.get_num_generated_tokens(),
            seconds_to_first=metrics.get_ttft().mean / 1000,
            tokens_per_second=metrics.get_throughput().mean,
        )


class Chat:
    """A conversation with one artefact."""

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
            ArtefactError: the folder is no chat model, or the runtime cannot load it.
            UsageError: the machine has no such device.
        """
        missing = [name for name in _NEEDED if not (folder / name).is_file()]
        if missing:
            raise ArtefactError(
                f"{folder} is not a converted chat model: {', '.join(missing)} missing.",
                "Give the folder that `edgeconv openvino` wrote.",
            )
        import openvino_genai

        _check_device(device)
        try:
            self._pipeline = openvino_genai.LLMPipeline(folder, device, **(properties or {}))
        except RuntimeError as error:
            raise ArtefactError(
                f"{folder} cannot be loaded on {device}: {_reason(error)}.",
                f"`edgeconv inspect {folder}` says whether it is whole.",
            ) from error
        if not self._pipeline.get_tokenizer().chat_template:
            raise ArtefactError(
                f"{folder} has no chat template: its checkpoint is a base model, or lost the template.",
                "Convert the chat or instruct version of the model.",
            )
        self._system = system
        self._config = self._pipeline.get_generation_config()
        (sampling or Sampling()).apply(self._config)
        self.reset()

    def reset(self) -> None:
        """Begin a new conversation, with the same system message."""
        import openvino_genai

        self._history = openvino_genai.ChatHistory()
        if self._system:
            self._history.append({"role": "system", "content": self._system})

    def ask(self, question: str) -> Generation:
        """Add a question to the conversation and return its answer in the making."""
        self._history.append({"role": "user", "content": question})
        return Generation(self._pipeline, self._history, self._config)

    def reply(self, question: str) -> Answer:
        """Ask and wait for the whole answer."""
        with self.ask(question) as generation:
            return generation.answer()

    @property
    def messages(self) -> list[dict[str, str]]:
        """The conversation so far, as role and content."""
        messages: list[dict[str, str]] = self._history.get_messages()
        return messages


def _check_device(device: str) -> None:
    import openvino

    known = {name.partition(".")[0] for name in openvino.Core().available_devices}
    if device.partition(":")[0].partition(".")[0] not in {*known, *_META_DEVICES}:
        raise UsageError(f"There is no device {device} here.", f"OpenVINO sees: {', '.join(sorted(known))}.")


def _reason(error: BaseException) -> str:
    """The last line of an OpenVINO message: the ones before it name the C++ file that complains."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1].rstrip(".") if lines else type(error).__name__
