"""Takes secrets out of what libraries say: addresses with a password or a signature, access tokens, headers."""

from __future__ import annotations

import os
import re

_FORMS = (
    (re.compile(r"(?<=://)[^\s/?#@'\"]*(?::[^\s/?#'\"]*)?@"), "…@"),  # user and password of an address
    (
        re.compile(r"(https?://[^\s?'\"]*)\?[^\s'\"]+"),
        r"\1?…",
    ),  # the query of a storage address grants access as a token does
    (re.compile(r"\b(hf|api_org)_[A-Za-z0-9]{16,}"), "…"),
    (
        re.compile(r"(?i)\b(authorization|cookie)(['\"]?\s*+[:=]\s*+['\"]?+)(?!<)[^'\"\r\n]+"),
        r"\1\2…",
    ),
    (re.compile(r"(?i)\b(bearer|basic)\s+[A-Za-z0-9+/=._~-]{8,}"), r"\1 …"),
)
_VARIABLES = ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN")


def redact(text: str) -> str:
    """Return a text of a library without what would let others in."""
    for form, shown in _FORMS:
        text = form.sub(shown, text)
    for name in _VARIABLES:  # a token of another form
        secret = os.environ.get(name, "").strip()
        if len(secret) >= 8:
            text = text.replace(secret, "…")
    return text
