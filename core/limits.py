"""How large and how slow what strangers write may be: one table, and the one way to read a whole file or answer within it.

Every reader that holds a file in memory reads it here. The limits lie far above what honest files have (noted where it is known):
they are there so that no file decides on our memory or our time.
"""

from __future__ import annotations

import stat
import time
from collections.abc import Iterable
from pathlib import Path

from .errors import CheckpointError, EdgeconvError

MEGABYTE = 1_000_000
JSON = 200 * MEGABYTE
"""config.json, tokenizer.json (Gemma 3: 33 MB), indexes of shards."""
TEMPLATE = 4 * MEGABYTE
"""A chat template; the longest that is known has 0.05 MB."""
VOCABULARY = 200 * MEGABYTE
"""tokenizer.model (Gemma: 4 MB), byte-pair ranks, merges."""
WORDS = 8 * MEGABYTE
"""README.md, LICENSE, NOTICE: what is larger is not fetched."""
RECIPE = 1 << 20
REPORT = 256 << 20
"""parity.json; that of 50,000 tokens has 20 MB."""
SUITE = 20 * MEGABYTE
"""A file of a suite, or a calibration text."""
MATRIX = 1 << 30
"""An importance matrix of llama.cpp."""
GRAPH = 500 * MEGABYTE
"""The .xml of an IR, whose weights lie beside it (SmolLM2: 2 MB)."""
RECORD = 16 * MEGABYTE
"""What edgeconv keeps beside an artifact or in its caches."""
SMALL_FILES = 600 * MEGABYTE
"""All files of a repository but its weights."""
ANSWER = 64 * MEGABYTE
"""One answer of the Hub, decompressed; a page of a file list has 1,000 entries of some 300 bytes."""
LISTING = 200_000
"""Files of a repository."""
ANSWER_SECONDS = 120.0
"""Within which an answer of the Hub must be whole, however steadily it drips."""
RANGE_BYTES_A_SECOND = 20_000
"""Least speed of a part of a file, beside ANSWER_SECONDS."""
SPEED_SECONDS = 30.0
"""Over which the speed of a download is averaged. For the first byte, and between two, HF_HUB_DOWNLOAD_TIMEOUT counts (10 s)."""
BYTES_A_SECOND = 1_000
"""Least average speed of a download: at less, 1 GB takes eleven days."""


_HINT = "It is damaged or hostile, or another's: download it again."


def read_bytes(path: Path, largest: int, error: type[EdgeconvError] = CheckpointError, hint: str = _HINT) -> bytes:
    """Return a regular file's content.

    Raises:
        `error`: it has more than `largest` bytes, or is a pipe or a device.
        OSError: it cannot be read.
    """
    found = path.stat()
    if not stat.S_ISREG(found.st_mode):  # before it is opened: a pipe would wait for somebody who writes
        raise error(f"{path.name} is not a regular file.", "Give a file.")
    if found.st_size > largest:
        raise error(f"{path.name} has {found.st_size:,} bytes, which no such file needs.", hint)
    with path.open("rb") as file:
        data = file.read(found.st_size + 1)  # the buffer has this size at once
    if len(data) > found.st_size:
        raise error(f"{path.name} grows while it is read.", "Wait until it is written.")
    return data


def read_text(
    path: Path,
    largest: int,
    error: type[EdgeconvError] = CheckpointError,
    *,
    encoding: str = "utf-8",
    errors: str = "strict",
    hint: str = _HINT,
) -> str:
    """Return a text file's content, ends of lines as Python has them.

    Raises:
        `error`, OSError: as `read_bytes`.
        UnicodeDecodeError: it is not of that encoding.
    """
    text = read_bytes(path, largest, error, hint).decode(encoding, errors)
    return text.replace("\r\n", "\n").replace("\r", "\n")


def gather(pieces: Iterable[bytes], largest: int, seconds: float) -> bytes:
    """Put an answer together that comes in pieces, decompressed ones: the pieces are counted as they come.

    Raises:
        ValueError: it is longer than `largest` bytes, or is not whole within `seconds`.
    """
    until = time.monotonic() + seconds
    data = bytearray()
    for piece in pieces:
        data += piece
        if len(data) > largest:
            raise ValueError(f"an answer of more than {largest:,} bytes")
        if time.monotonic() > until:
            raise ValueError(f"an answer that was not whole within {seconds:g} seconds")
    return bytes(data)
