"""Chat with a converted model in `openvino_genai.LLMPipeline`, the runtime that most users of the IR will run.

The pipeline calls its streamer from C++ threads, swallows what the streamer raises, and holds the calling thread until
it is done.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..core.errors import ArtifactError
from . import irs
from .answers import Answer, Generation, Sampling, cannot_load, check_device, require_bounded_template

__all__ = ["Answer", "Chat", "LLMGeneration", "Sampling"]

_NEEDED = [f"openvino_{part}.{kind}" for part in ("model", "tokenizer", "detokenizer") for kind in ("xml", "bin")]


class LLMGeneration(Generation):
    """One answer of an `openvino_genai` pipeline while it is being made."""

    def __init__(self, pipeline: Any, history: Any, config: Any) -> None:
        super().__init__()
        self._pipeline, self._history, self._config = pipeline, history, config
        self._result: Any = None

    def _generate(self) -> None:
        from openvino_genai import StreamingStatus

        def stream(piece: str) -> Any:
            self._show(piece)
            return StreamingStatus.STOP if self._canceled.is_set() else StreamingStatus.RUNNING

        self._result = self._pipeline.generate(self._history, self._config, stream)

    def _forget(self) -> None:
        self._history.pop()

    def _finish(self, shown: str, interrupted: bool) -> Answer:
        metrics = self._result.perf_metrics
        # The pipeline makes one more token after it is told to stop; the conversation holds what the user has seen.
        text = shown if interrupted else self._result.texts[0]
        self._history.append({"role": "assistant", "content": text})
        return Answer(
            text=text,
            finish="interrupted" if interrupted else self._result.finish_reasons[0].name.lower(),
            prompt_tokens=metrics.get_num_input_tokens(),
            tokens=metrics.get_num_generated_tokens(),
            seconds_to_first=metrics.get_ttft().mean / 1000,
            tokens_per_second=metrics.get_throughput().mean,
        )


def _require_possible(config: Any, folder: Path) -> None:
    """Refuse sampling that openvino_genai cannot do, before a question is asked.

    Raises:
        ArtifactError: it names the field.
    """
    where = f"{folder / 'generation_config.json'} asks for what openvino_genai cannot do in a chat"
    if config.is_beam_search():
        raise ArtifactError(
            f"{where}: num_beams {config.num_beams}; beams are not shown while they are made.",
            "The model is in order. Take num_beams out of that file.",
        )
    try:
        config.validate()
    except RuntimeError as error:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        raise ArtifactError(
            f"{where}: {lines[-1].rstrip('.')}.",
            "The model is in order. Choose by options (--temperature, --top-p, …), or mend the fields of that file.",
        ) from error


class Chat:
    """A conversation with one artifact."""

    def __init__(
        self,
        folder: Path,
        *,
        device: str = "CPU",
        system: str | None = None,
        sampling: Sampling | None = None,
        properties: Mapping[str, Any] | None = None,
    ) -> None:
        """Load the artifact; `properties` are OpenVINO's, for example {"EXECUTION_MODE_HINT": "ACCURACY"}.

        Raises:
            ArtifactError: the folder is not a chat model, or the runtime cannot load it.
            UsageError: the machine has no such device.
        """
        if not folder.is_dir():
            raise ArtifactError(f"There is no folder {folder}.", "Give the one that `edgeconv openvino` wrote.")
        missing = [name for name in _NEEDED if not (folder / name).is_file()]
        if missing:
            raise ArtifactError(
                f"{folder} is not a converted chat model: {', '.join(missing)} missing.",
                "Give the folder that `edgeconv openvino` wrote.",
            )
        import openvino_genai

        irs.require_state(folder)
        check_device(device)
        try:
            self._pipeline = openvino_genai.LLMPipeline(folder, device, **(properties or {}))
        except RuntimeError as error:
            raise cannot_load(folder, device, error) from error
        tokenizer = self._pipeline.get_tokenizer()
        require_bounded_template(tokenizer, folder)
        if not tokenizer.chat_template:
            raise ArtifactError(
                f"{folder} has no chat template: its checkpoint is a base model, or lost the template.",
                "Convert the chat or instruct version of the model.",
            )
        self._folder, self._system = folder, system
        self._config = self._pipeline.get_generation_config()
        (sampling or Sampling()).apply(self._config)
        _require_possible(self._config, folder)
        self.reset()

    def reset(self) -> None:
        """Begin a new conversation, with the same system message."""
        import openvino_genai

        self._history = openvino_genai.ChatHistory()
        if self._system:
            self._history.append({"role": "system", "content": self._system})

    def ask(self, question: str) -> LLMGeneration:
        """Add a question to the conversation and return its answer in the making.

        Raises:
            ArtifactError: the chat template runs for ever on it.
        """
        asked = {"role": "user", "content": question}
        require_bounded_template(self._pipeline.get_tokenizer(), self._folder, [*self.messages, asked])
        self._history.append(asked)
        return LLMGeneration(self._pipeline, self._history, self._config)

    def reply(self, question: str) -> Answer:
        """Ask and wait for the whole answer."""
        with self.ask(question) as generation:
            return generation.answer()

    @property
    def messages(self) -> list[dict[str, str]]:
        """The conversation so far, as role and content."""
        messages: list[dict[str, str]] = self._history.get_messages()
        return messages
