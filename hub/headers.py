"""The header of a safetensors file, read without the tensors behind it.

The format (huggingface/safetensors, README): 8 bytes of little-endian header length, then that many bytes of JSON
that map each tensor's name to its dtype, shape and data offsets.
"""

import json
from collections.abc import Callable
from typing import Any

from ..core.errors import CheckpointError

RemoteHeaders = dict[str, dict[str, Any]]
"""File name to its decoded safetensors header."""

MAX_HEADER_BYTES = 100_000_000  # the limit of the format's reference reader
_FIRST_READ = 64 << 10  # holds the whole header of most files, and saves the second request


def read_header(read: Callable[[int, int], bytes], size: int, name: str) -> dict[str, Any]:
    """Decode the header of a file of `size` bytes; `read(start, count)` answers exactly `count` of its bytes.

    Raises:
        CheckpointError: the length is impossible, or the header is not a JSON object with distinct keys.
    """
    if size < 8:
        raise CheckpointError(f"{name} has {size} bytes and thus no safetensors header.", _HINT)
    first = read(0, min(size, _FIRST_READ))
    length = int.from_bytes(first[:8], "little")
    if length > min(MAX_HEADER_BYTES, size - 8):
        raise CheckpointError(f"{name} claims a header of {length} bytes; the file has {size}.", _HINT)
    raw = first[8 : 8 + length]
    if len(raw) < length:
        raw += read(len(first), 8 + length - len(first))
    try:
        header = json.loads(raw, object_pairs_hook=_distinct)
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"The safetensors header of {name} cannot be read: {error}.", _HINT) from error
    if not isinstance(header, dict):
        raise CheckpointError(f"The safetensors header of {name} is not a JSON object.", _HINT)
    return header


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    answer = dict(pairs)
    if len(answer) != len(pairs):
        raise ValueError("a key occurs twice")
    return answer


_HINT = "The file is damaged or no safetensors file: fetch it again, or choose another revision."
