"""Which engine makes a checkpoint's ONNX graph, and why."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Any

from ...core.errors import UsageError
from .. import alternatives, claims, encoders, families
from ..alternatives import InexpressibleError
from ..checkpoint import Checkpoint
from ..program.decoder import Decoder
from ..program.encoder import Encoder
from ..program.reading import UnsupportedArchitecture
from ..program.task import Task
from ..program.vision import Vision
from .trace_support import TRACED, refusal

ENGINES = ("auto", "stream", "trace")


@dataclass(frozen=True)
class Choice:
    """An engine and why.

    Attributes:
        engine: "stream" or "trace".
        reason: in words.
        decoder: the description of a streamed model.
        vision: its vision part, if there is one.
        notes: sentences for the plan.
        encoder: the encoder, if it is one.
    """

    engine: str
    reason: str
    decoder: Decoder | None = None
    vision: Vision | None = None
    notes: tuple[str, ...] = ()
    encoder: Encoder | None = None

    @property
    def described(self) -> Decoder | Encoder | None:
        """What the stream engine writes, beside a vision part."""
        return self.decoder or self.encoder


def choose(checkpoint: Checkpoint, engine: str = "auto") -> Choice:
    """Choose as `chosen` does, and name in a refusal the commands that would take the checkpoint. Raises as `chosen` does."""
    sentence = checkpoint.sentence
    with alternatives.named("onnx", checkpoint.config, checkpoint.names, sentence):
        return chosen(checkpoint.config, checkpoint.names, engine, sentence)


def chosen(
    config: dict[str, Any], names: Collection[str], engine: str = "auto", sentence: Task | None = None
) -> Choice:
    """Choose by what config.json states, by the names of the checkpoint's tensors, and by the files of sentence-transformers.

    Raises:
        CheckpointError: no engine takes the checkpoint.
        UsageError: the engine that the user asks for does not.
    """
    if engine not in ENGINES:
        raise UsageError(f"Unknown engine {engine!r}.", f"One of: {', '.join(ENGINES)}.")
    encoder = encoders.describe(config, names, sentence)
    if encoder is not None:
        if engine == "trace":
            raise UsageError(
                "The trace engine takes models that make text; this one is an encoder.", "Leave out --engine."
            )
        said = encoders.claim(encoder, config, names)
        return Choice("stream", f"the encoder of {encoder.family} is known", encoder=encoder, notes=said)
    notes = claims.require(config, names)
    choice = _choose(config, names, engine)
    if choice.decoder is None:
        left = claims.unread(config, "transformers' class for it")
    else:
        family = choice.decoder.family
        left = claims.unread(config, f"the reader of {family}", families.fields(config["model_type"], family))
    return replace(choice, notes=(*choice.notes, *notes, *left))


def _choose(config: dict[str, Any], names: Collection[str], engine: str) -> Choice:
    try:
        decoder = families.decoder(config)
        vision = families.vision(config, names, decoder)
    except UnsupportedArchitecture as reason:
        if engine == "stream":
            raise UsageError(
                f"The stream engine cannot take this checkpoint: {reason}.", "Use --engine auto."
            ) from reason
        return _trace(config, str(reason), asked=engine == "trace")
    if engine != "trace":
        return Choice("stream", f"the block of {vision.family if vision else decoder.family} is known", decoder, vision)
    part = families.vision_part(config["model_type"], names)
    if part:
        raise UsageError(
            f"The trace engine takes text models; the vision tensors of this {part.title} would be left out.",
            "Leave out --engine.",
        )
    return _trace(config, "asked for by --engine", asked=True)


def _trace(config: dict[str, Any], reason: str, *, asked: bool) -> Choice:
    kind = config["model_type"]
    found = refusal(config, asked=asked)
    if found:
        why, hint = found
        raise InexpressibleError(f"This checkpoint cannot be written as ONNX: {why}.", f"{hint} {_known(kind)}".strip())
    notes = []
    if kind not in TRACED:
        notes.append(f"the trace of {kind} has not been seen to agree with torch before: measure it with --validate")
    return Choice("trace", reason, notes=tuple(notes))


def _known(kind: str) -> str:
    return f"Streamed: {families.some_of(families.streamed(), kind)}; many more of transformers' decoders are traced."
