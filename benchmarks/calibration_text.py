"""Writes validate/suite/data/calibration.jsonl: the text of `--calibration suite`.

    python -m benchmarks.calibration_text OUT

Pieces of the language reference of CPython (as the Python that runs this has it: 3.11.7 for the file that ships), in the order of
their digests, those left out that the validator's suite quotes; between them made-up chats in English and Chinese.
"""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path
from random import Random

from edgeconv.builtin import corpus
from edgeconv.core.errors import UsageError
from edgeconv.validate.suite import Document, Suite, load, require_apart
from edgeconv.validate.suite.files import cut

TEXTS, CHATS, SEED, LEAST = 110, 110, 31, 1500


def main() -> None:
    """Write the file."""
    chooser = Random(SEED)
    lines = []
    for number, text in enumerate(texts()):
        lines.append({"name": f"reference/{number}", "language": "en", "text": text})
        turns = [turn for _ in range(3) for turn in corpus.conversation(chooser)]
        if number < CHATS:
            kept = [turn for place, turn in enumerate(turns) if place == 0 or turn["role"] != "system"]
            lines.append({"name": f"chat/{number}", "messages": kept})
    Path(sys.argv[1]).write_text("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines), "utf-8")


def texts() -> list[str]:
    """Return pieces of about 1,500 bytes or more of the reference, no two of one topic side by side."""
    suite = load()
    pieces = [
        document.text or ""
        for topic in corpus.running_text()[0]
        for document in cut("topic", "text", "en", topic)
        if len((document.text or "").encode()) >= LEAST and _apart(document, suite)
    ]
    return sorted(pieces, key=lambda text: hashlib.sha256(text.encode()).digest())[:TEXTS]


def _apart(document: Document, suite: Suite) -> bool:
    try:
        require_apart(Suite(name="one", documents=(document,), prompts=()), suite)
    except UsageError:
        return False
    return True


if __name__ == "__main__":
    main()
