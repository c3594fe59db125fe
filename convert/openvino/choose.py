"""Which engine takes a checkpoint, and why."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Any

from ...core.errors import UsageError
from .. import alternatives, claims, encoders, families
from ..alternatives import InexpressibleError
from ..families import VisionPart
from ..program.decoder import Decoder
from ..program.encoder import Encoder
from ..program.reading import UnsupportedArchitecture
from ..program.task import Task
from ..program.vision import Vision

ENGINES = ("auto", "stream", "trace")


@dataclass(frozen=True)
class Choice:
    """An engine and why.

    Attributes:
        engine: "stream" or "trace".
        reason: in words.
        decoder: the language model, if the stream engine takes it.
        vision: the vision part, if there is one and the stream engine takes it.
        notes: sentences for the plan on what config.json states.
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


def choose(
    config: dict[str, Any],
    engine: str = "auto",
    rope: str = "source",
    *,
    names: Collection[str],
    sentence: Task | None = None,
) -> Choice:
    """Choose as `chosen` does, and name in a refusal the commands that would take the checkpoint. Raises as `chosen` does."""
    with alternatives.named("openvino", config, names, sentence):
        return chosen(config, engine, rope, names=names, sentence=sentence)


def chosen(
    config: dict[str, Any],
    engine: str = "auto",
    rope: str = "source",
    *,
    names: Collection[str],
    sentence: Task | None = None,
) -> Choice:
    """Choose by what config.json states, by the names of the checkpoint's tensors, and by the files of sentence-transformers.

    Raises:
        CheckpointError: no engine knows the model type, or can express what config.json states, or config and tensors contradict
            each other.
        UsageError: the engine or the row order that the user asks for cannot be had for this model.
    """
    if engine not in ENGINES:
        raise UsageError(f"Unknown engine {engine!r}.", f"One of: {', '.join(ENGINES)}.")
    encoder = encoders.describe(config, names, sentence)
    if encoder is not None:
        return _encoder(encoder, config, engine, rope, names)
    notes = claims.require(config, names)
    part = families.vision_part(config["model_type"], names)
    if part is not None:
        choice = _with_vision(part, config, engine, names)
    elif engine == "trace":
        choice = _trace(config, "asked for by --engine")
    else:
        choice = _stream_or_trace(config, engine, names)
    choice = replace(choice, notes=(*notes, *_unread(config, choice)))
    if rope not in ("source", "fused"):
        raise UsageError(f"Unknown row order {rope!r}.", "--rope is source or fused.")
    if rope == "fused" and choice.engine != "stream":
        raise UsageError(
            "--rope fused needs the stream engine.", f"This checkpoint takes the trace engine: {choice.reason}."
        )
    if rope == "fused" and choice.decoder and not choice.decoder.rope.interleaved:
        raise UsageError(
            f"--rope fused changes nothing for {choice.decoder.family}: its rows lie in that order already.",
            "Leave the option out.",
        )
    return choice


def _encoder(encoder: Encoder, config: dict[str, Any], engine: str, rope: str, names: Collection[str]) -> Choice:
    """Only the stream engine has them: what optimum-intel traces for generation is another model."""
    if engine == "trace":
        raise UsageError("The trace engine takes models that make text; this one is an encoder.", "Leave out --engine.")
    if rope == "fused":
        raise UsageError(f"--rope fused changes nothing for the encoder {encoder.family}.", "Leave the option out.")
    said = encoders.claim(encoder, config, names)
    return Choice("stream", f"the encoder of {encoder.family} is known", encoder=encoder, notes=said)


def _unread(config: dict[str, Any], choice: Choice) -> tuple[str, ...]:
    if choice.decoder is None:
        return claims.unread(config, "transformers' class for it")
    read = families.fields(config["model_type"], choice.decoder.family)
    return claims.unread(config, f"the reader of {choice.decoder.family}", read)


def _with_vision(part: VisionPart, config: dict[str, Any], engine: str, names: Collection[str]) -> Choice:
    """Only the stream engine has it: whoever trusts the `model_type` of such a checkpoint converts half a model."""
    if engine == "trace":
        count = sum(name.startswith(part.prefix) for name in names)
        raise UsageError(
            f"The trace engine takes text models; the {count} vision tensors of this {part.title} would be left out.",
            "Leave out --engine.",
        )
    try:
        decoder = families.decoder(config)
    except UnsupportedArchitecture as reason:
        raise InexpressibleError(f"No engine can convert this {part.title}: {reason}.") from reason
    vision = families.vision(config, names, decoder)
    return Choice("stream", f"by its tensors it is a {part.title}, whose blocks are known", decoder, vision)


def _stream_or_trace(config: dict[str, Any], engine: str, names: Collection[str]) -> Choice:
    try:
        decoder = families.decoder(config)
    except UnsupportedArchitecture as reason:
        if engine == "stream":
            raise UsageError(
                f"The stream engine cannot take this checkpoint: {reason}.", "Use --engine auto."
            ) from reason
        return _trace(config, str(reason))
    families.vision(config, names, decoder)  # raises if the config describes a tower and its tensors are not here
    return Choice("stream", f"the block of {decoder.family} is known", decoder)


def _trace(config: dict[str, Any], reason: str) -> Choice:
    from .trace_support import supported

    refusal = supported(config)
    if refusal:
        raise InexpressibleError(
            f"No engine can convert model_type {config['model_type']!r}: {refusal.rstrip('.')}.",
            f"Streamed: {families.some_of(families.streamed(), config['model_type'])}; traced: what optimum-intel 2.2 "
            "exports for text generation; "
            f"of images and text: {families.some_of(families.vision_language_types(), config['model_type'])}.",
        )
    return Choice("trace", reason)
