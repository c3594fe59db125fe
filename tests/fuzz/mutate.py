"""Changes to valid files, as hypothesis draws them: small numbers, so that a failure shrinks to few and simple changes.

A change is (kind, place, pick): what is done, where (a share of 65,536), and which of the interesting values is taken.
"""

from __future__ import annotations

import copy
import json
from typing import Any

from hypothesis import strategies as st

SHARE = 1 << 16
Change = tuple[int, int, int]
changes = st.lists(st.tuples(st.integers(0, 11), st.integers(0, SHARE - 1), st.integers(0, SHARE - 1)), max_size=6)

NUMBERS = (
    0, 1, 2, 3, 7, 8, 9, 13, 31, 32, 33, 63, 64, 127, 128, 255, 256, 1 << 15, (1 << 16) - 1, 1 << 16, 1 << 18, 1 << 22, 1 << 24,
    (1 << 28) + 1, (1 << 31) - 1, 1 << 31, (1 << 32) - 1, 1 << 32, 1 << 40, 1 << 61, (1 << 62) + 1, (1 << 63) - 1, 1 << 63,
    (1 << 64) - 8, (1 << 64) - 1,
)  # fmt: skip
WIDTHS = (1, 2, 4, 8)
JSON_VALUES: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 2, 1 << 31, 1 << 63, -(1 << 63), 1 << 64, 10**400, 0.5, 1e308, float("inf"), float("nan"),
    "", "x", "F32", "I64", "BF16", "../x", "/etc/passwd", "a/../../b.safetensors", "\\..\\x", "nul\0", "\ud800", "ü" * 300,
    "a" * 5000, "\x1b[2J", "..", ".", "~", [], {}, [[]], [0], [0, 0], [1, 2, 3], [-1, 5], [1 << 62, 4], {"a": 1}, [None], [{}],
    [[[[[[[[]]]]]]]], {"dtype": "F32", "shape": [], "data_offsets": [0, 4]},
)  # fmt: skip


def binary(data: bytes, drawn: list[Change]) -> bytes:
    """Change bytes: bits, numbers of any width, parts taken out, put in, moved, said twice."""
    made = bytearray(data)
    for kind, place, pick in drawn:
        at = place * (len(made) + 1) // SHARE
        length = 1 + pick % 64
        if kind in (0, 1, 2):  # most of what is in these files are little-endian numbers
            width = WIDTHS[pick % 4]
            made[at : at + width] = (NUMBERS[pick // 4 % len(NUMBERS)] % (1 << 8 * width)).to_bytes(width, "little")
        elif kind == 3 and at < len(made):
            made[at] ^= 1 << pick % 8
        elif kind == 4:
            del made[at : at + length]
        elif kind == 5:
            made[at:at] = made[at : at + length]
        elif kind == 6:
            made[at:at] = bytes([pick % 256]) * length
        elif kind == 7:
            del made[at:]
        elif kind == 8:
            origin = pick * (len(made) + 1) // SHARE
            made[at : at + 16] = made[origin : origin + 16]
        elif kind == 9 and at < len(made):
            made[at] = (made[at] + (1 if pick % 2 else -1)) % 256
        else:
            made += bytes(pick % 128)
    return bytes(made)


def tree(value: Any, drawn: list[Change]) -> Any:
    """Change a JSON value: other values in any place, entries taken out, renamed, swapped, put deeper."""
    root = [copy.deepcopy(value)]
    for kind, place, pick in drawn:
        places = list(_places(root, 0))
        holder, key = places[place * len(places) // SHARE]
        if kind < 6:
            holder[key] = copy.deepcopy(JSON_VALUES[pick % len(JSON_VALUES)])
        elif kind == 6 and holder is not root:
            del holder[key]
        elif kind == 7:
            other, name = places[pick * len(places) // SHARE]
            if not _holds(holder[key], other):
                other[name] = copy.deepcopy(holder[key])
        elif kind == 8 and isinstance(holder, dict):
            named = JSON_VALUES[pick % len(JSON_VALUES)]
            holder[named if isinstance(named, str) else str(named)] = holder.pop(key)
        elif kind == 9:
            holder[key] = [holder[key]]
        elif isinstance(holder[key], int) and not isinstance(holder[key], bool):
            holder[key] = NUMBERS[pick % len(NUMBERS)]
    return root[0]


def text_of(value: Any) -> bytes:
    """Write JSON, with what Python alone would read (NaN) as well."""
    return json.dumps(value).encode()


def _places(holder: Any, depth: int) -> Any:
    for key, value in list(holder.items()) if isinstance(holder, dict) else list(enumerate(holder)):
        yield holder, key
        if isinstance(value, dict | list) and depth < 12:
            yield from _places(value, depth + 1)


def _holds(value: Any, other: Any) -> bool:
    return value is other or (
        isinstance(value, dict | list)
        and any(_holds(entry, other) for entry in (value.values() if isinstance(value, dict) else value))
    )
