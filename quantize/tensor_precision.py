"""`--tensor-precision REGEX=PRECISION[:GROUP]`: what single weights become, whatever the scheme gives the others.

NNCF has one four-bit mode for a whole model and chooses by itself which weights get eight bits; a rule here says it of weights by
their names, as llama-quantize's `--tensor-type` does. Our own quantizer carries it out, weight by weight with NNCF's arithmetic.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable
from dataclasses import dataclass

from ..core.errors import UsageError
from ..core.patterns import found, require_pattern

FLAG = "--tensor-precision"
MODES = ("int4_asym", "int4_sym", "int8_asym", "int8_sym", "none")
"""What a weight can become: the modes that `quantize.integer` computes as NNCF does, or nothing."""
_SHORT = {"int4": "int4_asym", "int8": "int8_asym"}
_EXAMPLE = r"For example --tensor-precision 'layers\.0\..*down_proj=int8_asym' or 'mlp=int4_sym:64'."
_PER_CHANNEL = -1


@dataclass(frozen=True)
class Rule:
    """One rule.

    Attributes:
        pattern: a regular expression, found anywhere in the tensor's name.
        mode: NNCF's name; None: the weight stays as it is.
        group_size: of a four-bit mode; None: the scheme's.
    """

    pattern: str
    mode: str | None
    group_size: int | None


@functools.lru_cache(maxsize=256)
def parse(text: str) -> Rule:
    """Read one rule.

    Raises:
        UsageError: it is something else.
    """
    pattern, equals, kind = text.rpartition("=")
    name, colon, group = kind.partition(":")
    name = _SHORT.get(name, name)
    if not (pattern and equals and name):
        raise UsageError(f"{FLAG} {text!r} is not REGEX=PRECISION.", _EXAMPLE)
    if name not in MODES:
        raise UsageError(f"{FLAG} {text!r}: {name!r} is not a precision of one weight.", f"One of: {', '.join(MODES)}.")
    if colon and not (name.startswith("int4") and re.fullmatch(r"-1|[1-9]\d{0,6}", group)):
        raise UsageError(f"{FLAG} {text!r}: a group is a positive number, or -1, behind int4.", _EXAMPLE)
    require_pattern(pattern, FLAG, text, _EXAMPLE)
    return Rule(pattern, None if name == "none" else name, int(group) if colon else None)


def ruled(names: Iterable[str], texts: Iterable[str]) -> dict[str, Rule]:
    """Return the first rule that is found in each name; names without one are left out."""
    rules, listed = [parse(text) for text in texts], list(names)
    places = found([rule.pattern for rule in rules], listed, FLAG)
    first = (
        (name, next((rule for rule, some in zip(rules, places, strict=True) if name in some), None)) for name in listed
    )
    return {name: rule for name, rule in first if rule is not None}


def require_found(names: Iterable[str], texts: Iterable[str]) -> None:
    """Raise UsageError if a rule is found in none of the names: it would do nothing."""
    listed, asked = list(names), list(texts)
    places = found([parse(text).pattern for text in asked], listed, FLAG)
    for text, some in zip(asked, places, strict=True):
        if not some:
            raise UsageError(
                f"{FLAG} {text!r} is found in no weight that is compressed.",
                f"They are named {', '.join(sorted(listed)[:3])} and so on." if listed else "",
            )
