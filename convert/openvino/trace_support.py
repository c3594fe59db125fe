"""Which model types the trace engine takes: by tables, because asking optimum-intel itself imports torch for seconds."""

from __future__ import annotations

from typing import Any

from ..families.traced import CAPPED, LIFTED, SUPPORTED

__all__ = ["CAPPED", "LIFTED", "SUPPORTED", "known", "supported"]


def known(model_type: str) -> bool:
    """Whether the engine exports checkpoints of this type, from transformers' own classes."""
    return model_type in SUPPORTED or model_type in LIFTED


def supported(config: dict[str, Any]) -> str | None:
    """Return None if the trace engine can export a checkpoint with this config.json, else the reason as a sentence."""
    kind = config["model_type"]
    if config.get("is_encoder_decoder"):
        return f"{kind} is an encoder-decoder, and only decoders can be exported."
    if known(kind):
        return None
    cap = CAPPED.get(kind)
    if cap:
        return f"optimum-intel 2.2 exports {kind} only under transformers up to {cap}."
    if "vision_config" in config:
        return f"the vision encoder of {kind} is not one that edgeconv builds."
    return f"optimum-intel 2.2 has no text-generation export for {kind}."
