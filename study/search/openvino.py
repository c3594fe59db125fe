"""The ways of an IR: mode, group, ratio and methods; each with the sum of what its matrices are estimated to cost.

A scheme of NNCF gives one four-bit mode and one group to the whole model, and eight bits to a share of it that NNCF itself
chooses. Beside those schemes stands the choice for each weight, which our own quantizer carries out (`search_weights`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from ...convert import families
from ...convert.openvino import stream
from ...convert.program.reading import UnsupportedArchitecture
from ...core.errors import CheckpointError
from ...core.format_names import FormatName
from ...quantize import integer
from ...quantize.assign import Assignment, Weight, assign
from ...quantize.scheme import Request, Scheme, resolve
from ..points import Point
from ..sensitivity.codec import Codec
from ..sensitivity.estimate import Estimates, estimate
from ..sensitivity.subject import Subject
from ..trial import Bench
from . import weights as search_weights
from .space import Guess, Learned
from .weights import KIND as BY_WEIGHT
from .weights import ByWeight

GROUPS = (128, 64, 32)
RATIOS = (1.0, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1)
METHODS: dict[str, dict[str, Any]] = {
    "scale estimation": {"scale_estimation": True},
    "AWQ and scale estimation": {"awq": True, "scale_estimation": True},
    "GPTQ": {"gptq": True},
}
"""What a calibration text allows, tried in the place of plain rounding where that does not reach."""
HOPED = 0.7
"""The share of the KL that a method is expected to leave, until one has been measured."""


@dataclass(frozen=True)
class _Way:
    point: Point
    scheme: Scheme
    kind: str = "plain"


class OpenVINOSpace:
    """Implements `space.Space`."""

    format: FormatName = "openvino"
    dense = False

    def __init__(self, bench: Bench, subject: Subject, calibration: str | None = None) -> None:
        """Estimate what every scheme costs.

        Args:
            bench: of the model.
            subject: of the model, for the estimate.
            calibration: a text, or "suite": with it the methods that need one are ways too.

        Raises:
            CheckpointError: the model is not of a family whose matrices we know (the trace engine takes it, the search does not).
        """
        self._bench = bench
        self._sizes: dict[str, int] = {}
        try:
            decoder = families.decoder(subject.checkpoint.config)
        except UnsupportedArchitecture as reason:
            raise CheckpointError(
                f"A search over schemes needs to know the model's matrices, and {reason}.", "Search with --format gguf."
            ) from reason
        errors: dict[str, float] = {}

        def error(weight: Weight) -> float:
            if weight.name not in errors:
                errors[weight.name] = integer.int8_error(subject.checkpoint.tensor(weight.name))
            return errors[weight.name]

        ways = list(_ways(self.format, calibration))
        tables = [assign(stream.weights(decoder, way.scheme), way.scheme, error) for way in ways]
        weights = stream.weights(decoder, ways[0].scheme)
        found = estimate(subject, _codecs(subject, tables, weights), bench.progress)
        self._by_weight = ByWeight(bench, weights, found, self.format, self.bytes_of)
        self._guesses = sorted(
            (self._guess(way, _sum(table, found)) for way, table in zip(ways, tables, strict=True)),
            key=_by_size,
        )

    def smallest_within(self, max_kl: float, learned: Learned) -> list[Guess]:
        """All that are expected to keep the budget."""
        schemes = [guess for guess in self._guesses if guess.raw <= learned.limit(guess.kind, max_kl)]
        return sorted(schemes + self._by_weight.within_loss(learned.limit(BY_WEIGHT, max_kl)), key=_by_size)

    def best_within(self, max_bytes: int, learned: Learned) -> list[Guess]:
        """All that are not larger."""
        fitting = [guess for guess in self._guesses if guess.bytes <= max_bytes]
        return sorted(
            fitting + self._by_weight.within_bytes(max_bytes), key=lambda guess: (learned.kl(guess), guess.bytes)
        )

    def finest(self) -> Guess:
        """The way with the lowest sum."""
        return min([*self._guesses, self._by_weight.ends()[1]], key=lambda guess: guess.raw)

    def smallest(self) -> Guess:
        """The smallest way."""
        return min([*self._guesses, self._by_weight.ends()[0]], key=_by_size)

    def bytes_of(self, codec: Codec, rows: int, columns: int) -> int:
        """Return the bytes that a weight takes, scales and zero points included."""
        return codec.bytes(rows, columns)

    def _guess(self, way: _Way, raw: float) -> Guess:
        free = way.point if way.kind == "plain" else Point(self.format, _without_methods(way.point.options))
        hoped = 1.0 if way.kind == "plain" else HOPED
        key = repr(free.options)
        if key not in self._sizes:
            self._sizes[key] = self._bench.size(free)
        return Guess(way.point, self._sizes[key], raw * hoped, way.kind)


def _by_size(guess: Guess) -> tuple[int, float]:
    return guess.bytes, guess.raw


def _ways(format_: FormatName, calibration: str | None) -> Iterator[_Way]:
    for mode in ("int8_asym", "int8_sym"):
        yield _way(format_, {"precision": mode})
    for mode in ("int4_asym", "int4_sym"):
        for group in GROUPS:
            for ratio in RATIOS:
                common = {"precision": mode, "group_size": group, "group_size_fallback": "adjust", "ratio": ratio}
                yield _way(format_, common)
                if ratio == 1.0:
                    yield _way(format_, {**common, "all_layers": True})
                for kind, methods in METHODS.items() if calibration else ():
                    yield _way(format_, {**common, "calibration": calibration, **methods}, kind)


def _way(format_: FormatName, options: dict[str, Any], kind: str = "plain") -> _Way:
    point = Point(format_, options)
    return _Way(point, resolve(Request(**_without_methods(options))), kind)


def _without_methods(options: dict[str, Any]) -> dict[str, Any]:
    methods = {"calibration", *(name for given in METHODS.values() for name in given)}
    return {name: value for name, value in options.items() if name not in methods}


def _codecs(
    subject: Subject, tables: Sequence[dict[str, Assignment]], weights: Sequence[Weight]
) -> dict[str, list[Codec]]:
    """Return every codec that some scheme gives a matrix, or that is in question for it alone."""
    found: dict[str, dict[Codec, None]] = {w.name: dict.fromkeys(search_weights.codecs(w)) for w in weights}
    for table in tables:
        for name, given in table.items():
            if given.mode is not None and name in subject.matrices:
                found.setdefault(name, {})[Codec(given.mode, given.group_size)] = None
    return {name: list(codecs) for name, codecs in sorted(found.items())}


def _sum(table: dict[str, Assignment], found: Estimates) -> float:
    given = ((name, one) for name, one in table.items() if one.mode is not None)
    return sum(found.kl(name, Codec(str(one.mode), one.group_size)) for name, one in given)
