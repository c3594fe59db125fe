"""The printable characters by which byte-level BPE writes bytes (GPT-2's `bytes_to_unicode`), turned round."""

from __future__ import annotations

from functools import cache


def from_stand_ins(token: str) -> bytes:
    """Return a token's bytes; of one that is not written in stand-ins, those of its text."""
    try:
        return token.translate(_bytes()).encode("latin-1")
    except UnicodeEncodeError:
        return token.encode("utf-8", "surrogateescape")


@cache
def _bytes() -> dict[int, int]:
    """From a stand-in to its byte; from a character of Latin-1 that is none to one beyond it, which has no byte."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printable]
    return {b: b for b in printable} | dict.fromkeys(others, 0xFFFF) | {256 + n: b for n, b in enumerate(others)}
