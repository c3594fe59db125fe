"""Settings in the environment that huggingface_hub reads as numbers while it is imported, and falls over where they are none."""

from __future__ import annotations

import os

from .errors import UsageError

NUMBERS = ("HF_HUB_ETAG_TIMEOUT", "HF_HUB_DOWNLOAD_TIMEOUT")


def require() -> None:
    """Raise UsageError for a setting that is not a number."""
    for name in NUMBERS:
        text = os.environ.get(name)
        if text is None:
            continue
        try:
            int(text)
        except ValueError as error:
            raise UsageError(
                f"{name} is {text!r}, not a whole number of seconds.", f"Correct or unset {name}."
            ) from error
