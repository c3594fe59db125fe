"""The seal of a report: a digest over all that it says, written with it and computed again before it is believed.

It covers the artifact's digest, the suite, the budgets, the versions and every figure. It is a checksum and no signature: it
shows that a report was damaged, or edited by somebody who did not mean to deceive. Whoever means to can seal an edited one again.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any, Literal

FIELD = "seal"
State = Literal["sealed", "edited", "unsealed"]


def seal_of(content: Mapping[str, Any]) -> str:
    """Return the SHA-256 over a report's JSON content without its seal; neither order nor white space counts."""
    rest = {key: value for key, value in content.items() if key != FIELD}
    return hashlib.sha256(json.dumps(rest, sort_keys=True).encode()).hexdigest()


def state(data: bytes) -> State:
    """Say whether the text of a parity.json, which is known to be a report, is what was sealed.

    The text is looked at, not the parsed report, so that a field that a later version adds breaks no seal.
    """
    content = json.loads(data)
    if content.get(FIELD) is None:
        return "unsealed"
    return "sealed" if content[FIELD] == seal_of(content) else "edited"
