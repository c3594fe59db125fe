"""What a file of weights holds, read without the tensors themselves.

Safetensors (huggingface/safetensors, README): 8 bytes of little-endian header length, then that many bytes of JSON that map
each tensor's name to its dtype, shape and data offsets. Files of torch.save are zips: a directory at the end, a table near the
beginning.
"""

import io
import json
from collections.abc import Callable
from typing import Any, cast

from ..core import torch_zip
from ..core.errors import CheckpointError

RemoteHeaders = dict[str, dict[str, Any]]
"""File name to its decoded safetensors header."""

MAX_HEADER_BYTES = 100_000_000  # the limit of the format's reference reader
_FIRST_READ = 64 << 10  # holds the whole header of most files, and saves the second request
_BLOCK = 64 << 10
PICKLE = ".bin"
"""How names of files of torch.save end."""


def read_header(read: Callable[[int, int], bytes], size: int, name: str) -> dict[str, Any]:
    """Decode the header of a file of `size` bytes; `read(start, count)` answers exactly `count` of its bytes.

    That of a file of torch.save is put in the form of safetensors, with offsets that only count.

    Raises:
        CheckpointError: the length is impossible, the header is not a JSON object with distinct keys, or a file of torch.save
            holds more than tensors.
    """
    if name.endswith(PICKLE):
        return _of_pickle(read, size, name)
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


def _of_pickle(read: Callable[[int, int], bytes], size: int, name: str) -> dict[str, Any]:
    header, end = {}, 0
    for tensor in torch_zip.read(cast(Any, io.BufferedReader(_Ranges(read, size), _BLOCK)), name, locate=False):
        offsets = [end, end + tensor.size]
        header[tensor.name] = {"dtype": tensor.dtype, "shape": list(tensor.shape), "data_offsets": offsets}
        end += tensor.size
    return header


class _Ranges(io.RawIOBase):
    """A remote file as a local one: each read is a request."""

    def __init__(self, read: Callable[[int, int], bytes], size: int) -> None:
        self._read = read
        self._size = size
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        at = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        if at < 0:
            raise ValueError("a place before the beginning of the file")
        self._at = at
        return self._at

    def tell(self) -> int:
        return self._at

    def readinto(self, buffer: Any) -> int:
        count = max(0, min(len(buffer), self._size - self._at))
        if count:
            buffer[:count] = self._read(self._at, count)
        self._at += count
        return count


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    answer = dict(pairs)
    if len(answer) != len(pairs):
        raise ValueError("a key occurs twice")
    return answer


_HINT = "The file is damaged or no safetensors file: fetch it again, or choose another revision."
