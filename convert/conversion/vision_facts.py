"""What a plan and a manifest say of the vision part, whatever the format."""

from __future__ import annotations

from ...core.manifest import VisionFacts
from ...quantize.scheme import Scheme
from ..program.vision import Vision


def rows(scheme: Scheme | None, image_tokens: int | None) -> list[tuple[str, str]]:
    """Return a plan's line on it; none for a text model."""
    if scheme is None:
        return []
    tokens = f"; {image_tokens} tokens a picture" if image_tokens else ""
    return [("vision", f"{scheme.describe()} (chosen by {scheme.chosen_by}){tokens}")]


def facts(vision: Vision | None, scheme: Scheme | None) -> VisionFacts | None:
    """Return the manifest's section on it; None for a text model."""
    if vision is None or scheme is None:
        return None
    return VisionFacts(
        scheme=scheme.as_dict(),
        image_size=vision.picture_side,
        image_tokens=vision.image_tokens,
        placeholder_id=vision.placeholder,
    )
