"""Which model types the trace engine takes: by tables, because asking optimum-intel itself imports torch for seconds."""

from __future__ import annotations

from typing import Any

from ..families.traced import CAPPED, LIFTED, SUPPORTED, VISION, VISION_CAPPED, VISION_LIFTED, VISION_UNPROVEN

__all__ = [
    "CAPPED", "LIFTED", "SUPPORTED", "VISION", "VISION_CAPPED", "VISION_LIFTED", "VISION_UNPROVEN", "known", "supported",
    "takes_images",
]  # fmt: skip


def takes_images(config: dict[str, Any]) -> bool:
    """True if a checkpoint with this config.json takes images and text, and the trace engine makes several IRs of it."""
    return config["model_type"] in VISION or config["model_type"] in VISION_LIFTED


def known(model_type: str) -> bool:
    """Whether the engine exports checkpoints of this type, from transformers' own classes."""
    return model_type in SUPPORTED or model_type in LIFTED or takes_images({"model_type": model_type})


def supported(config: dict[str, Any]) -> str | None:
    """Return None if the trace engine can export a checkpoint with this config.json, else the reason as a sentence."""
    kind = config["model_type"]
    if config.get("is_encoder_decoder"):
        return f"{kind} is an encoder-decoder, and only decoders can be exported."
    if known(kind):
        return None
    if kind in VISION_UNPROVEN:
        return f"the IRs that optimum-intel 2.2 makes of {kind} have not been seen to agree with torch."
    cap = (CAPPED | VISION_CAPPED).get(kind)
    if cap:
        return f"optimum-intel 2.2 exports {kind} only under transformers up to {cap}."
    wanted = "text-generation"
    if "vision_config" in config:
        wanted = "image-text-to-text"
    return f"optimum-intel 2.2 has no {wanted} export for {kind}."
