"""What the worker does with a picture: decodes it by Pillow, whose readers are C. Loaded by `worker_child` alone."""

from __future__ import annotations

import base64
import warnings
from typing import Any

from PIL import Image, ImageOps, UnidentifiedImageError

FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF")
"""What is read. Pillow knows forty formats by what is in a file, and starts Ghostscript for one of them."""
WHITE = (255, 255, 255)
_decoded: dict[str, Any] = {}
"""The last picture, by its path."""


def picture(path: str, largest: int) -> dict[str, Any]:
    """Decode a picture, upright and in RGB, and keep it for `picture_rows`.

    Returns:
        `size`: width and height; or `problem`: "unknown" of a file that is not a picture, "large" of more than `largest` pixels.
    """
    _decoded.clear()
    Image.MAX_IMAGE_PIXELS = largest
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path, formats=FORMATS) as opened:
                opened.load()
                _decoded[path] = upright_rgb(opened)
    except UnidentifiedImageError:
        return {"problem": "unknown"}
    except (Image.DecompressionBombWarning, Image.DecompressionBombError):
        return {"problem": "large"}
    return {"size": _decoded[path].size}


def picture_rows(path: str, start: int, stop: int) -> str | None:
    """Return rows [start, stop) of the picture that was decoded last, three bytes a pixel in base64; None: it is another."""
    kept = _decoded.get(path)
    if kept is None:
        return None
    return base64.b64encode(kept.crop((0, start, kept.width, stop)).tobytes()).decode()


def upright_rgb(picture: Any) -> Any:
    """Turn a PIL image upright by its EXIF tag and make it RGB; what is transparent becomes white, 16-bit gray is scaled."""
    picture = ImageOps.exif_transpose(picture)
    if picture.mode == "RGB":
        return picture
    if picture.mode.startswith("I;16"):  # Pillow would cut every value above 255 off
        import numpy as np

        picture = Image.fromarray((np.asarray(picture).astype(np.uint16) >> 8).astype(np.uint8))
    rgba = picture.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", rgba.size, WHITE), rgba).convert("RGB")
