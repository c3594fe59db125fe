"""Chat with a GGUF in llama.cpp, with its defaults; with pictures if a mmproj is given.

The file's own template, rendered as for every format; its own tokenizer, ends of answers and rules of sampling.
"""

from __future__ import annotations

from pathlib import Path
from threading import Event

from ..convert.gguf.metadata import SAMPLING
from ..convert.gguf.read import GgufFile, open_gguf
from ..convert.program.vision import Rows
from ..core.errors import ArtifactError
from .answers import Sampling, require_cpu
from .cached import NO_PLACEHOLDER, Picture
from .llama_cpp_binding import NAME, require
from .llama_cpp_cached import CachedLlama
from .llama_cpp_prompt import GgufPrompter
from .llama_cpp_vision_processor import vision_processor_of
from .sampled_chat import Known, SampledChat
from .sampler import Decoding

_DRAWS = {"temperature", "top_k", "top_p", "min_p"}


class LlamaCppChat(SampledChat):
    """A conversation with one file."""

    def __init__(
        self,
        path: Path,
        *,
        projector: Path | None = None,
        device: str = "CPU",
        system: str | None = None,
        sampling: Sampling | None = None,
    ) -> None:
        """Load.

        Args:
            path: the file; of a split one any part.
            projector: the mmproj that belongs to it.
            device: the CPU.
            system: the system message.
            sampling: what the user chose.

        Raises:
            ArtifactError: the file is not a chat model, or llama.cpp does not run it.
            CheckpointError: a rule of sampling in it cannot be.
            UsageError: another device than the CPU, llama.cpp is not installed, or the template drops system messages.
        """
        require_cpu(device, "A GGUF", NAME)
        require()
        file = open_gguf(path)
        _require_language_model(file)
        prompter = GgufPrompter(file)
        sight = vision_processor_of(file, open_gguf(projector), prompter, self._look) if projector else None
        known = Known(prompter, _rules(file, prompter.stops), _context(file), 0)
        super().__init__(known, system, sampling, sight)
        self.model: CachedLlama = CachedLlama(
            file.files[0],
            projector,
            sight.placeholder if sight else NO_PLACEHOLDER,
            answer=self.rules.max_new_tokens,
        )
        self.reset()

    def reset(self) -> None:
        """Begin a new conversation, with the same system message and the same seed."""
        super().reset()
        self.model.forget_pictures()

    def _look(self, picture: Picture) -> Rows:
        return self.model.see(picture, Event())

    def close(self) -> None:
        """Give the memory back."""
        self.model.close()


def _require_language_model(file: GgufFile) -> None:
    kind = file.keys.get("general.type", "model")
    if kind != "model" or file.arch == "clip":
        raise ArtifactError(
            f"{file.path} is not a language model, but of the type {kind!r}, architecture {file.arch!r}.",
            "Give the model's own .gguf; a mmproj-*.gguf is found beside it.",
        )


def _rules(file: GgufFile, stops: frozenset[int]) -> Decoding:
    """Return general.sampling.*, in generation_config.json's words."""
    found = {field: file.keys.get(f"general.sampling.{key}") for field, (key, _) in SAMPLING.items()}
    draws = any(found[field] is not None for field in _DRAWS)
    return Decoding.stated({**found, "do_sample": draws}, file.path.name, stops)


def _context(file: GgufFile) -> int:
    stated = file.own("context_length")
    return stated if type(stated) is int and stated > 0 else 0
