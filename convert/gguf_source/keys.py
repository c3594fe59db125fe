"""The keys of a GGUF's architecture, checked where they are read."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...core.errors import CheckpointError
from ..gguf.read import GgufFile


class Keys:
    """Keys of the architecture, checked: a file may hold anything under any name."""

    def __init__(self, file: GgufFile) -> None:
        self._file = file

    def get(self, key: str) -> Any:
        """Return the value as it stands; None if there is none."""
        return self._file.own(key)

    def size(self, key: str, default: int | None = None) -> int:
        """Return a positive whole number; an array of the same number for each layer counts as one. Raises CheckpointError."""
        value = self._file.own(key, default)
        if isinstance(value, np.ndarray) and value.size and (value == value[0]).all():
            value = value[0].item()
        if type(value) is not int or not 0 < value < 2**31:
            raise self._wrong(key, value, "a positive whole number")
        return value

    def number(self, key: str, default: float | None = None) -> float:
        """Return a positive number. Raises CheckpointError."""
        value = self._file.own(key, default)
        if type(value) not in (int, float) or not 0 < value < 1e30:
            raise self._wrong(key, value, "a positive number")
        return shortest(value)

    def _wrong(self, key: str, value: Any, wanted: str) -> CheckpointError:
        return CheckpointError(
            f"{self._file.path.name}: the key {self._file.arch}.{key} is {value!r}, not {wanted}.",
            "Convert the original checkpoint.",
        )


def shortest(value: float) -> float:
    """Return the number with the fewest digits that rounds to the same float32."""
    return float(str(np.float32(value)))
