"""A choice for each of many tensors, in the few rules REGEX=KIND that a command line can hold."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping

_BLOCK = re.compile(r"(.*?\.)(\d+)\.(.+)")
"""What stands before and behind a layer's number, in a GGUF's names and in a checkpoint's."""


def rules(kinds: Mapping[str, str], default: Mapping[str, str]) -> list[str]:
    """Return rules for the tensors whose kind is not the default one, each for all the layers that it holds in.

    Args:
        kinds: tensor → what it shall be.
        default: tensor → what it is without a rule.
    """
    layers: dict[tuple[str, str, str], list[int]] = defaultdict(list)
    found = []
    for name, kind in kinds.items():
        inside = _BLOCK.fullmatch(name)
        if kind == default[name]:
            continue
        if inside:
            layers[inside[1], inside[3], kind].append(int(inside[2]))
        else:
            found.append(f"^{re.escape(name)}$={kind}")
    for (before, behind, kind), numbers in sorted(layers.items()):
        several = "(" + "|".join(map(str, sorted(numbers))) + ")"
        found.append(rf"^{re.escape(before)}{several}\.{re.escape(behind)}$={kind}")
    return found
