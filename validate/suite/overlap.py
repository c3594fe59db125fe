"""A model must not be measured on the text that it was compressed with: the two are compared by content."""

from __future__ import annotations

from collections.abc import Iterator

from ...core.errors import UsageError
from .model import Document, Suite

RUN = 64
"""Characters, white space and case apart, that two texts may not share in a row. Shorter ones are idioms and license lines."""
_STRIDE = 16
_LEAST = RUN - _STRIDE + 1
"""Windows of so many characters, every _STRIDE-th of one side against all of the other, find every shared run of RUN."""


def require_apart(calibration: Suite, suite: Suite) -> None:
    """Raise UsageError, with both documents' names and the text that they share, if the suite holds part of the calibration."""
    seen = {window: document.name for document in suite.documents for window in _windows(document, 1)}
    for document in calibration.documents:
        for window in _windows(document, _STRIDE):
            if window in seen:
                raise UsageError(
                    f"The calibration text {document.name} and the suite's {seen[window]} share a passage: {window!r}.",
                    "What a model is compressed with must not be what it is measured on. Take another text for one of them.",
                )


def _windows(document: Document, stride: int) -> Iterator[str]:
    texts = [document.text] if document.text is not None else [m.content or "" for m in document.messages or ()]
    for text in texts:
        plain = "".join(str(text).casefold().split())
        for at in range(0, len(plain) - _LEAST + 1, stride):
            yield plain[at : at + _LEAST]
