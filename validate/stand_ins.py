"""The printable characters by which byte-level BPE writes bytes (GPT-2's `bytes_to_unicode`), turned round."""

from __future__ import annotations

from functools import cache


def from_stand_ins(token: str) -> bytes:
    """Return a token's bytes; of one that is not written in stand-ins, those of its text."""
    table = _byte_of()
    if all(char in table for char in token):
        return bytes(table[char] for char in token)
    return token.encode("utf-8", "surrogateescape")


@cache
def _byte_of() -> dict[str, int]:
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printable]
    return {chr(b): b for b in printable} | {chr(256 + n): b for n, b in enumerate(others)}
