"""The picture of a frontier: KL on a logarithmic axis over megabytes, a line along the best points of each format."""

from __future__ import annotations

from markupsafe import Markup

from ...validate.report.html import plain, svg
from ...validate.report.html.svg import Axis
from ...validate.report.words import percent, significant
from .model import Frontier, FrontierPoint

_HEIGHT, _LEFT, _RIGHT, _TOP, _BOTTOM = 560, 66, 130, 66, 506
STYLES = {
    "openvino": ("circle", "one", "front-one", "OpenVINO"),
    "gguf": ("square", "two", "front-two", "GGUF"),
    "onnx": ("diamond", "three", "front-three", "ONNX"),
}
"""Marker, class of the marker, class of the line, and name: a format is told by its shape and by how its line is drawn."""
_LINE = 14
"""Height of a label."""


def draw(found: Frontier) -> Markup:
    """Draw every point with its interval; rings mark those that no other point of any format beats."""
    sizes = [point.bytes / 1e6 for point in found.points]
    room = max((max(sizes) - min(sizes)) * 0.06, max(sizes) * 0.02)
    x = Axis(min(sizes) - room, max(sizes) + room, _LEFT, plain.WIDTH - _RIGHT)
    kls = [v for p in found.points for v in (p.mean_kl.value, p.mean_kl.low, p.mean_kl.high) if v and v > 0]
    y = svg.decades(kls, _BOTTOM, _TOP)
    y = Axis(
        max(y.low, min(kls, default=y.low) * 0.8),
        min(y.high, max(kls, default=y.high) * 1.25),
        y.start,
        y.stop,
        log=True,
    )
    ticks = [(tick, f"{tick:g}") for tick in svg.linear_ticks(x, 8)]
    parts = [svg.frame(x, y, ticks, _ticks(y), x_title="size of the artifact, MB", y_title="mean KL, nats (log scale)")]
    for name, (_, _, line, _) in STYLES.items():
        front = [p for p in found.points if p.format == name and p.own_front and p.mean_kl.value > 0]
        parts.append(svg.path(line, [(x.at(p.bytes / 1e6), y.at(p.mean_kl.value)) for p in front]))
    shown = [point for point in found.points if point.mean_kl.value > 0]
    for point in shown:
        parts += _mark(point, x, y)
    parts += _labels([(x.at(p.bytes / 1e6), y.at(p.mean_kl.value), p.label) for p in shown])
    label = f"Size against KL of {found.model}"
    return plain.picture(_HEIGHT, label, svg.text("strong", 4, 20, label), *_legend(), *parts)


def _ticks(y: Axis) -> list[tuple[float, str]]:
    """Ticks at 1, 2 and 5 times powers of ten."""
    found = [(m * 10.0**power, f"{m * 10.0**power:.6g}") for power in range(-12, 3) for m in (1, 2, 5)]
    return [(value, label) for value, label in found if y.low <= value <= y.high]


def _mark(point: FrontierPoint, x: Axis, y: Axis) -> list[Markup]:
    shape, css, _, name = STYLES[point.format]
    kl, at = point.mean_kl, x.at(point.bytes / 1e6)
    tip = f"{name} {point.label}: {point.bytes / 1e6:,.1f} MB, KL {significant(kl.value)} nats, top-1 {percent(point.top1.value)}"
    parts = []
    if kl.low and kl.high and kl.low > 0:
        parts.append(svg.line("whisker", at, y.at(kl.low), at, y.at(kl.high)))
    parts.append(plain.marker(shape, css, at, y.at(kl.value), title=tip))
    if point.front:
        parts.append(Markup('<circle class="ring" cx="{:.1f}" cy="{:.1f}" r="10"/>').format(at, y.at(kl.value)))
    return parts


def _labels(places: list[tuple[float, float, str]]) -> list[Markup]:
    """Write each label beside its point, where neither a point nor another label stands if there is such a place."""
    drawn: list[Markup] = []
    taken = [(x - 8, x + 8, y + 4) for x, y, _ in places]
    for x, y, words in sorted(places):
        width = 6.8 * len(words)
        spots = [
            (left, y + 4 + shift * _LINE)
            for shift in (0, -1, 1, -2, 2, -3, 3)
            for left in (x + 14, x - 14 - width)
            if left > _LEFT
        ]
        free = (
            (left, line)
            for left, line in spots
            if not any(abs(line - b) < _LINE and left - 6 < end and a < left + width + 6 for a, end, b in taken)
        )
        left, line = next(free, spots[0])
        taken.append((left, left + width, line))
        drawn.append(svg.text("name", left, line, words))
    return drawn


def _legend() -> list[Markup]:
    drawn, place = [], 300.0
    for shape, css, line, name in STYLES.values():
        drawn += [
            svg.path(line, [(place, 16), (place + 44, 16)]),
            plain.marker(shape, css, place + 22, 16, title=name),
            svg.text("tick", place + 52, 20, name),
        ]
        place += 140
    ring = Markup('<circle class="ring" cx="{:.1f}" cy="16" r="8"/>').format(place + 8)
    return [*drawn, ring, svg.text("tick", place + 24, 20, "none smaller is better")]
