"""What the rows are about: a checkpoint of which only configs, tokenizer files and the shards' headers were read."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...convert.checkpoint import Checkpoint, read_json
from ...convert.conversion.source import of_metadata
from ...convert.families.glm_edge_v_model.facts import is_glm_edge_v
from ...convert.openvino.choose import Choice, choose
from ...convert.program.decoder import Decoder
from ...convert.program.encoder import Encoder
from ...convert.program.vision import Vision
from ...convert.template_file import read_template
from ...core.errors import CheckpointError, EdgeconvError
from ...hub.fetch import Metadata
from . import tokenizer
from .tokenizer import Tokenizer


@dataclass(frozen=True)
class Refused:
    """Something that cannot be had, and why."""

    message: str
    hint: str = ""


@dataclass(frozen=True)
class Subject:
    """The opened files; what cannot be opened is a `Refused`, so that the rest is still looked at.

    `template` is None where there is none.
    """

    checkpoint: Checkpoint
    generation_config: dict[str, Any]
    choice: Choice | Refused
    tokenizer: Tokenizer | Refused
    template: str | Refused | None

    @property
    def config(self) -> dict[str, Any]:
        """config.json."""
        return self.checkpoint.config

    @property
    def decoder(self) -> Decoder | None:
        """The language model, if the stream engine takes it."""
        return self.choice.decoder if isinstance(self.choice, Choice) else None

    @property
    def encoder(self) -> Encoder | None:
        """The encoder, if it is one."""
        return self.choice.encoder if isinstance(self.choice, Choice) else None

    @property
    def vision(self) -> Vision | None:
        """The vision part, if there is one and an engine takes it."""
        return self.choice.vision if isinstance(self.choice, Choice) else None

    @property
    def takes_images(self) -> bool:
        """True if tensors or config speak of pictures, even if no engine takes what they describe."""
        return "vision_config" in self.config or is_glm_edge_v(self.config, self.checkpoint.names)

    @property
    def vocab_size(self) -> int | None:
        """Rows of the embedding, as config.json states them."""
        text = self.config.get("text_config")
        size = self.config.get("vocab_size", text.get("vocab_size") if isinstance(text, dict) else None)
        return size if type(size) is int else None


def open_subject(metadata: Metadata) -> Subject:
    """Open what was fetched.

    Raises:
        CheckpointError: configs or headers are damaged, do not belong together, or the weights hold more than tensors.
    """
    # consent to custom code is given because none is run here; whether a conversion needs some is one of the rows
    checkpoint = of_metadata(metadata, trust_remote_code=True).checkpoint
    folder = checkpoint.folder
    generation = folder / "generation_config.json"
    return Subject(
        checkpoint=checkpoint,
        generation_config=read_json(generation) if generation.is_file() else {},
        choice=_choose(checkpoint),
        tokenizer=_tokenizer(folder),
        template=_template(folder),
    )


def _choose(checkpoint: Checkpoint) -> Choice | Refused:
    try:
        return choose(checkpoint.config, names=checkpoint.names, sentence=checkpoint.sentence)
    except EdgeconvError as error:
        return Refused(error.message, error.hint or "")


def _tokenizer(folder: Path) -> Tokenizer | Refused:
    try:
        return tokenizer.read(folder)
    except CheckpointError as error:
        return Refused(error.message, error.hint or "")


def _template(folder: Path) -> str | Refused | None:
    try:
        return read_template(folder)
    except (CheckpointError, OSError, UnicodeDecodeError) as error:
        return Refused(str(error))
