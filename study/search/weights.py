"""The ways of an IR, or of ONNX, weight by weight: mode and group of each, by a knapsack, said in `--tensor-precision` rules."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ...core.format_names import FormatName
from ...quantize.assign import Weight, assign
from ...quantize.scheme import Request, resolve
from ..points import Point
from ..sensitivity.codec import Codec
from ..sensitivity.estimate import Estimates
from ..trial import Bench
from .knapsack import Knapsack, Option
from .rules import rules
from .space import Guess

BytesOf = Callable[[Codec, int, int], int]
KIND = "by weight"
CODECS = (*(Codec(mode, group) for mode in ("int4_asym", "int4_sym") for group in (128, 64, 32)), Codec("int8_asym"))
"""What a weight can be; symmetric int8 is no smaller to speak of, and worse."""


_SURE = 0.99
"""Share of a limit that a choice may fill: a size is forecast to within a percent."""


def codecs(weight: Weight) -> list[Codec]:
    """Return those whose groups divide the weight's rows."""
    return [codec for codec in CODECS if codec.group == -1 or weight.shape[-1] % codec.group == 0]


class ByWeight:
    """All choices for the weights of one model."""

    def __init__(
        self, bench: Bench, weights: Sequence[Weight], found: Estimates, format_: FormatName, bytes_of: BytesOf
    ) -> None:
        """Take estimates for `codecs` of every weight, and what each takes in the format."""
        self._format: FormatName = format_
        self._weights = {weight.name: weight for weight in weights}
        self._knapsack = Knapsack(
            {w.name: [_option(w, codec, found, bytes_of) for codec in codecs(w)] for w in weights}
        )
        finest = self._knapsack.ends()[1]
        self._rest = bench.size(self._point(finest)) - sum(option.bytes for option in finest.values())

    def within_loss(self, limit: float) -> list[Guess]:
        """Return the smallest choice whose estimates sum up to no more; none if there is none."""
        return self._guesses(self._knapsack.within_loss(limit))

    def within_bytes(self, limit: int) -> list[Guess]:
        """Return the choice of the lowest sum that is no larger; none if there is none."""
        return self._guesses(self._knapsack.within_bytes(int(limit * _SURE) - self._rest))

    def ends(self) -> tuple[Guess, Guess]:
        """Return the smallest choice, and that of the lowest sum."""
        small, fine = (self._guesses(end)[0] for end in self._knapsack.ends())
        return small, fine

    def _guesses(self, chosen: Mapping[str, Option] | None) -> list[Guess]:
        if chosen is None:
            return []
        size = self._rest + sum(option.bytes for option in chosen.values())
        return [Guess(self._point(chosen), size, sum(option.loss for option in chosen.values()), KIND)]

    def _point(self, chosen: Mapping[str, Option]) -> Point:
        return Point(self._format, options(list(self._weights.values()), {n: o.name for n, o in chosen.items()}))


def options(weights: Sequence[Weight], kinds: Mapping[str, str]) -> dict[str, Any]:
    """Say a kind ("int8_asym", "int4_sym:64") for each weight in a recipe's words: a scheme, and rules for the exceptions."""
    mode, _, group = Counter(kinds.values()).most_common(1)[0][0].partition(":")
    made: dict[str, Any] = {"precision": mode}
    if group:
        made |= {"group_size": int(group), "group_size_fallback": "adjust"}
    default = {
        name: _kind(str(given.mode), given.group_size)
        for name, given in assign(weights, resolve(Request(**made))).items()
    }
    found = rules(kinds, default)
    return {**made, "tensor_precision": found} if found else made


def _option(weight: Weight, codec: Codec, found: Estimates, bytes_of: BytesOf) -> Option:
    return Option(_kind(codec.name, codec.group), bytes_of(codec, *weight.shape), found.kl(weight.name, codec))


def _kind(mode: str, group: int) -> str:
    return f"{mode}:{group}" if mode.startswith("int4") else mode
