"""Which engine makes a checkpoint's ONNX graph, and why."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from ...core.errors import CheckpointError, UsageError
from .. import claims, families
from ..checkpoint import Checkpoint
from ..families.decoder import Decoder, NotExpressible
from ..families.glm_edge_v import Vision
from .trace_support import TRACED, refusal

ENGINES = ("auto", "stream", "trace")


@dataclass(frozen=True)
class Choice:
    """An engine and why.

    Attributes:
        engine: "stream" or "trace".
        reason: in words.
        decoder: the description of a streamed model.
        vision: its half that sees, if there is one.
        notes: sentences for the plan.
    """

    engine: str
    reason: str
    decoder: Decoder | None = None
    vision: Vision | None = None
    notes: tuple[str, ...] = ()


def choose(checkpoint: Checkpoint, engine: str = "auto") -> Choice:
    """Choose by what config.json states and by the names of the checkpoint's tensors.

    Raises:
        CheckpointError: no engine takes the checkpoint.
        UsageError: the engine that the user asks for does not.
    """
    if engine not in ENGINES:
        raise UsageError(f"Unknown engine {engine!r}.", f"One of: {', '.join(ENGINES)}.")
    notes = claims.require(checkpoint.config, checkpoint.names)
    choice = _choose(checkpoint, engine)
    left = (
        claims.unread(checkpoint.config, "transformers' class for it")
        if choice.decoder is None
        else claims.unread(
            checkpoint.config, f"the reader of {choice.decoder.family}", families.fields(choice.decoder.family)
        )
    )
    return replace(choice, notes=(*choice.notes, *notes, *left))


def _choose(checkpoint: Checkpoint, engine: str) -> Choice:
    try:
        decoder = families.decoder(checkpoint.config)
        vision = families.vision(checkpoint.config, checkpoint.names, decoder)
    except NotExpressible as reason:
        if engine == "stream":
            raise UsageError(
                f"The stream engine cannot take this checkpoint: {reason}.", "Use --engine auto."
            ) from reason
        return _trace(checkpoint.config, str(reason), asked=engine == "trace")
    if engine != "trace":
        return Choice("stream", f"the block of {vision.family if vision else decoder.family} is known", decoder, vision)
    if vision:
        raise UsageError(
            "The trace engine cannot take GLM-Edge-V: transformers, which calls it glm, would leave out its vision tensors.",
            "Leave out --engine.",
        )
    return _trace(checkpoint.config, "asked for by --engine", asked=True)


def _trace(config: dict[str, Any], reason: str, *, asked: bool) -> Choice:
    kind = config["model_type"]
    found = refusal(config, asked=asked)
    if found:
        why, hint = found
        raise CheckpointError(f"This checkpoint cannot be written as ONNX: {why}.", f"{hint} {_known()}")
    notes = []
    if kind not in TRACED:
        notes.append(f"the trace of {kind} has not been seen to agree with torch before: measure it with --validate")
    return Choice("trace", reason, notes=tuple(notes))


def _known() -> str:
    return f"Streamed: {', '.join(families.STREAMED)}; many more of transformers' decoders are traced."
