"""Picture files, whoever made them, opened in a process of its own (`worker`), within its limits."""

from __future__ import annotations

import base64
from pathlib import Path

from PIL import Image

from . import worker
from .errors import UsageError

_FILMS = frozenset([".avi", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".webm"])
_FINE = "PNG, JPEG and WebP are fine, BMP and GIF too."
_AT_ONCE = 16 << 20
"""Bytes of a picture that come from the worker in one answer."""


def open_picture(path: Path) -> Image.Image:
    """Read a picture file whole, upright and in RGB; it is decoded in a process of its own (`core.worker`), within its limits.

    Raises:
        UsageError: there is no such file, or it is not a picture, damaged or too large.
    """
    if not path.exists():
        raise UsageError(f"There is no picture {path}.", "Check the path.")
    if path.suffix.lower() in _FILMS:
        raise UsageError(
            f"{path} is a film, of which edgeconv reads no frames.", "Give single frames, saved as pictures."
        )
    if not path.is_file():  # a pipe may never say anything, a device never end
        raise UsageError(f"{path} is not a file.", "A picture is read from a regular file: save it to one.")
    try:
        return _decoded(path)
    except worker.WorkerFault as fault:
        raise UsageError(f"The picture {path} cannot be read: {fault}.", "Save it again as PNG or JPEG.") from fault


def _decoded(path: Path) -> Image.Image:
    name, largest = str(path.absolute()), Image.MAX_IMAGE_PIXELS or 0
    found = worker.ask("picture", path=name, largest=largest)
    if found.get("problem") == "unknown":
        raise UsageError(f"{path} is not a picture that Pillow can read.", _FINE)
    if found.get("problem") == "large":
        raise UsageError(
            f"The picture {path} has more than {largest:,} pixels.",
            "Scale it down; the model sees a few hundred a side.",
        )
    width, height = found["size"]
    whole = Image.new("RGB", (width, height))
    step = max(1, _AT_ONCE // (3 * width))
    for start in range(0, height, step):
        stop = min(start + step, height)
        rows = worker.ask("picture_rows", path=name, start=start, stop=stop)
        if rows is None:  # another thread's picture came in between
            worker.ask("picture", path=name, largest=largest)
            rows = worker.ask("picture_rows", path=name, start=start, stop=stop)
        whole.paste(Image.frombytes("RGB", (width, stop - start), base64.b64decode(rows)), (0, start))
    return whole
