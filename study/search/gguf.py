"""The ways of a GGUF: a type for each matrix, chosen by a knapsack over what each costs, and said in `--tensor-type` rules."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from ...convert.gguf.describe import describe
from ...convert.gguf.header import aligned
from ...convert.gguf.mix import quantizable
from ...convert.gguf.model import Tensor
from ...core.errors import CheckpointError
from ...quantize.ggml.types import TYPES
from ..points import Point
from ..sensitivity.codec import Codec
from ..sensitivity.estimate import Estimates, estimate
from ..sensitivity.subject import Subject
from ..trial import Bench
from .knapsack import Knapsack, Option
from .rules import rules
from .space import Guess, Learned

WIDE = ("q3_k", "iq4_xs", "q4_k", "q5_k", "q6_k", "q8_0")
"""Types in question for rows of whole super-blocks."""
NARROW = ("iq4_nl", "q5_0", "q5_1", "q8_0")
"""Types in question for other rows."""
_BASES = {
    "q3_k": "q3_k_s", "q4_k": "q4_k_s", "q5_k": "q5_k_s", **{n: n for n in ("iq4_xs", "iq4_nl", "q5_0", "q5_1", "q6_k", "q8_0")}
}  # fmt: skip
"""The file type whose base a type is."""


class GgufSpace:
    """Implements `space.Space`."""

    dense = True

    def __init__(self, bench: Bench, subject: Subject) -> None:
        """Estimate what every type costs every matrix.

        Raises:
            CheckpointError: llama.cpp has no such architecture.
        """
        tensors = [t for t in describe(subject.checkpoint.config).tensors if quantizable(t)]
        codecs = {_source(t): [Codec(kind) for kind in _types(t)] for t in tensors}
        found = estimate(subject, codecs, bench.progress)
        items = {t.name: [_option(t, codec, found) for codec in codecs[_source(t)]] for t in tensors}
        self._knapsack = Knapsack(items)
        finest = self._knapsack.ends()[1]
        whole = bench.size(Point("gguf", options({name: option.name for name, option in finest.items()})))
        self._rest = whole - sum(option.bytes for option in finest.values())

    def smallest_within(self, max_kl: float, learned: Learned) -> list[Guess]:
        """One way: the knapsack's."""
        chosen = self._knapsack.within_loss(learned.limit("plain", max_kl))
        return [self._guess(chosen, self._rest)] if chosen else []

    def best_within(self, max_bytes: int, learned: Learned) -> list[Guess]:
        """One way: the knapsack's."""
        chosen = self._knapsack.within_bytes(max_bytes - self._rest)
        return [self._guess(chosen, self._rest)] if chosen else []

    def finest(self) -> Guess:
        """Each matrix in the type that costs it least."""
        return self._guess(self._knapsack.ends()[1], self._rest)

    def smallest(self) -> Guess:
        """Each matrix in its smallest type."""
        return self._guess(self._knapsack.ends()[0], self._rest)

    def _guess(self, chosen: Mapping[str, Option], rest: int) -> Guess:
        types = {name: option.name for name, option in chosen.items()}
        size = rest + sum(option.bytes for option in chosen.values())
        return Guess(Point("gguf", options(types)), size, sum(option.loss for option in chosen.values()))


def options(types: Mapping[str, str]) -> dict[str, object]:
    """Say a type for each tensor of a file in a recipe's words: a base, and rules for what differs from it."""
    base = Counter(types.values()).most_common(1)[0][0]
    found = rules(types, dict.fromkeys(types, base))
    made: dict[str, object] = {"type": _BASES[base], "pure": True}
    return {**made, "tensor_type": found} if found else made


def _types(tensor: Tensor) -> list[str]:
    names = [name for name in WIDE if TYPES[name].fits(tensor.shape[-1])]
    if len(names) < len(WIDE):
        names = [name for name in NARROW if TYPES[name].fits(tensor.shape[-1])]
    if not names:
        raise CheckpointError(
            f"{tensor.name} has rows of {tensor.shape[-1]}, which no quantized type of GGUF can hold.",
            "Search with --format openvino.",
        )
    return names


def _option(tensor: Tensor, codec: Codec, found: Estimates) -> Option:
    return Option(codec.name, _bytes(tensor, codec.name), found.kl(_source(tensor), codec))


def _bytes(tensor: Tensor, kind: str) -> int:
    rows, columns = tensor.shape
    return aligned(rows * TYPES[kind].row_bytes(columns))


def _source(tensor: Tensor) -> str:
    return str(tensor.source)
