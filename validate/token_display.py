"""A token as a reader can see it: a part of a character shows its bytes, such as <0xE4>, never the mark for what is broken."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from ..runtimes.byte_alphabet import from_stand_ins

_BROKEN = "\ufffd"
_BYTE = re.compile(r"<0x([0-9A-F]{2})>")


def shown(tokenizer: Any, token: int) -> str:
    """Return a token's text; bytes that are not whole character are written in hexadecimal, each in angle brackets.

    Args:
        tokenizer: of transformers.
        token: its id.
    """
    text = str(tokenizer.decode([token], clean_up_tokenization_spaces=False))
    if _BROKEN not in text:
        return text
    name = tokenizer.convert_ids_to_tokens(token)
    if name is None or _BROKEN in name:  # the character itself
        return text
    byte = _BYTE.fullmatch(name)
    return "".join(_pieces(bytes.fromhex(byte[1]) if byte else from_stand_ins(name)))


def _pieces(raw: bytes) -> Iterator[str]:
    """Yield what is whole as text, and each other byte by itself."""
    while raw:
        start, end = _first_broken(raw)
        yield raw[:start].decode()
        yield "".join(f"<0x{byte:02X}>" for byte in raw[start:end])
        raw = raw[end:]


def _first_broken(raw: bytes) -> tuple[int, int]:
    """Return where the first bytes that are not character begin and end; the length twice if there are none."""
    try:
        raw.decode()
    except UnicodeDecodeError as error:
        return error.start, error.end
    return len(raw), len(raw)
