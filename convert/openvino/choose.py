"""Which engine takes a checkpoint, and why."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ...core.errors import CheckpointError, UsageError
from .. import families
from ..families.decoder import Decoder, NotExpressible

ENGINES = ("auto", "stream", "trace")


@dataclass(frozen=True)
class Choice:
    """An engine ("stream" or "trace"), the reason in words, and the decoder's description if the stream engine has one."""

    engine: str
    reason: str
    decoder: Decoder | None = None


def choose(config: dict[str, Any], engine: str = "auto", rope: str = "source") -> Choice:
    """Choose by what config.json states.

    Raises:
        CheckpointError: no engine knows the model type.
        UsageError: the engine or the row order that the user asks for cannot be had for this model.
    """
    if engine not in ENGINES:
        raise UsageError(f"Unknown engine {engine!r}.", f"One of: {', '.join(ENGINES)}.")
    choice = _trace(config, "asked for by --engine") if engine == "trace" else _stream_or_trace(config, engine)
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


def _stream_or_trace(config: dict[str, Any], engine: str) -> Choice:
    try:
        decoder = families.decoder(config)
    except NotExpressible as reason:
        if engine == "stream":
            raise UsageError(
                f"The stream engine cannot take this checkpoint: {reason}.", "Use --engine auto."
            ) from reason
        return _trace(config, str(reason))
    return Choice("stream", f"the block of {decoder.family} is known", decoder)


def _trace(config: dict[str, Any], reason: str) -> Choice:
    from .trace import supported

    refusal = supported(config)
    if refusal:
        raise CheckpointError(
            f"No engine can convert model_type {config['model_type']!r}: {refusal.rstrip('.')}.",
            f"Streamed: {', '.join(families.STREAMED)}; traced: what optimum-intel 2.2 exports for text generation.",
        )
    return Choice("trace", reason)
