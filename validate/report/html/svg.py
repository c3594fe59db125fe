"""A little of what a plotting library does: axes with ticks, as inline SVG that takes its colors from the page's CSS."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from markupsafe import Markup

from ..words import significant


@dataclass(frozen=True)
class Axis:
    """Maps values [low, high] to pixels [start, stop]; `log` in decades. Both limits are finite and low < high."""

    low: float
    high: float
    start: float
    stop: float
    log: bool = False

    def at(self, value: float) -> float:
        """Pixel of a value; what lies outside is put on the border."""
        value = min(max(value, self.low), self.high)
        low, high = (math.log10(self.low), math.log10(self.high)) if self.log else (self.low, self.high)
        value = math.log10(value) if self.log else value
        return self.start + (value - low) / (high - low) * (self.stop - self.start)


def decades(values: Iterable[float], start: float, stop: float) -> Axis:
    """Return a logarithmic axis of whole decades over the positive finite values; 1e-4 to 1 if there are none."""
    positive = [value for value in values if math.isfinite(value) and value > 0] or [1e-4, 1.0]
    low, high = math.floor(math.log10(min(positive))), math.ceil(math.log10(max(positive)))
    low = max(low, high - 12)  # a KL below 1e-12 of the largest is rounding, not a figure
    return Axis(10.0**low, 10.0 ** max(high, low + 1), start, stop, log=True)


def decade_ticks(axis: Axis) -> list[tuple[float, str]]:
    """Ticks at the decades, every second or third where they would be crowded."""
    low, high = round(math.log10(axis.low)), round(math.log10(axis.high))
    step = -(-(high - low) // max(2, int(abs(axis.stop - axis.start) / 44)))
    return [(10.0**power, power_label(power)) for power in range(high, low - 1, -step)]


def power_label(power: int) -> str:
    """Write a power of ten as a plot does."""
    return {0: "1", 1: "10", -1: "0.1", -2: "0.01", -3: "0.001"}.get(power) or "10" + str(power).translate(
        str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
    )


def linear_ticks(axis: Axis, wanted: int = 5) -> list[float]:
    """About so many ticks at multiples of 1, 2 or 5 times a power of ten."""
    rough = (axis.high - axis.low) / wanted
    magnitude = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * magnitude for factor in (1, 2, 5, 10) if factor * magnitude >= rough * 0.999)
    first = math.ceil(axis.low / step - 1e-9)
    return [index * step for index in range(first, math.floor(axis.high / step + 1e-9) + 1)]


def binary_ticks(axis: Axis, wanted: int = 6) -> list[float]:
    """Ticks at multiples of a power of two: positions in a context."""
    step = 2.0 ** max(0, math.ceil(math.log2((axis.high - axis.low) / wanted)))
    return [index * step for index in range(math.floor(axis.high / step + 1e-9) + 1)]


def percent_ticks(axis: Axis) -> list[tuple[float, str]]:
    """Ticks of an axis of shares."""
    return [(value, f"{significant(round(value * 100, 6), 4).rstrip('0').rstrip('.')} %"
             if value % 1 else f"{value * 100:.0f} %") for value in linear_ticks(axis)]  # fmt: skip


def frame(
    x: Axis, y: Axis, x_ticks: Iterable[tuple[float, str]], y_ticks: Iterable[tuple[float, str]], *,
    x_title: str, y_title: str,
) -> Markup:  # fmt: skip
    """Draw grid, tick labels and axis titles."""
    parts = []
    for value, label in y_ticks:
        place = y.at(value)
        parts.append(line("grid", x.start, place, x.stop, place))
        parts.append(text("tick", x.start - 8, place + 4, label, "end"))
    for value, label in x_ticks:
        place = x.at(value)
        parts.append(line("tickmark", place, y.start, place, y.start + 5))
        parts.append(text("tick", place, y.start + 19, label, "middle"))
    parts.append(line("axis", x.start, y.start, x.stop, y.start))
    parts.append(text("title", (x.start + x.stop) / 2, y.start + 38, x_title, "middle"))
    parts.append(text("title", 4, y.stop - 12, y_title, "start"))
    return Markup("").join(parts)


def line(css: str, x1: float, y1: float, x2: float, y2: float) -> Markup:
    """Draw a straight line."""
    return Markup('<line class="{}" x1="{:.1f}" y1="{:.1f}" x2="{:.1f}" y2="{:.1f}"/>').format(css, x1, y1, x2, y2)


def rect(css: str, x: float, y: float, width: float, height: float, *, title: str = "") -> Markup:
    """Draw a rectangle; `title` is what hovering shows."""
    inner = Markup("<title>{}</title>").format(title) if title else ""
    shape = Markup('<rect class="{}" x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}">{}</rect>')
    return shape.format(css, x, y, max(0, width), max(0, height), inner)


def path(css: str, points: Iterable[tuple[float, float]], closed: bool = False) -> Markup:
    """Draw a polyline."""
    places = " L".join(f"{x:.1f} {y:.1f}" for x, y in points)
    return Markup('<path class="{}" d="M{}{}"/>').format(css, places, " Z" if closed else "") if places else Markup()


def text(css: str, x: float, y: float, words: str, anchor: str = "start") -> Markup:
    """Draw text."""
    shape = Markup('<text class="{}" x="{:.1f}" y="{:.1f}" text-anchor="{}">{}</text>')
    return shape.format(css, x, y, anchor, words)


def picture(width: int, height: int, label: str, *parts: Markup) -> Markup:
    """Put it together; `label` is what a screen reader says."""
    head = Markup('<svg viewBox="0 0 {} {}" role="img" aria-label="{}">').format(width, height, label)
    return head + Markup("").join(parts) + Markup("</svg>")
