"""The picture of a sensitivity: KL, on a logarithmic axis, over the layers of the model."""

from __future__ import annotations

import re

from markupsafe import Markup

from ...validate.report.html import plain, svg
from ...validate.report.html.svg import Axis
from ...validate.report.words import significant
from .model import PartFigure, Sensitivity

_HEIGHT, _LEFT, _RIGHT, _TOP, _BOTTOM = 420, 66, 16, 62, 366
SHAPES = {
    "attention": ("circle", "one"), "mlp": ("square", "two"), "layer": ("circle", "one"), "embeddings": ("diamond", "three"),
    "head": ("triangle", "three"),
}  # fmt: skip
"""Marker and class of each kind of part."""


def draw(found: Sensitivity) -> Markup:
    """Draw every part: bars where parts are whole layers or components, markers where they are matrices."""
    slots = _slots(found)
    columns = list(dict.fromkeys(slots))
    x = Axis(0, len(columns), _LEFT, plain.WIDTH - _RIGHT)
    values = [v for part in found.parts for v in (part.mean_kl.value, part.mean_kl.low, part.mean_kl.high) if v]
    y = svg.decades(values, _BOTTOM, _TOP)
    parts = [svg.frame(x, y, _ticks(columns), svg.decade_ticks(y), x_title=_title(found), y_title="mean KL, nats")]
    width = (x.stop - x.start) / len(columns)
    for part, slot in zip(found.parts, slots, strict=True):
        middle = x.at(columns.index(slot) + 0.5)
        parts += _mark(found, part, middle, width, y)
    parts += _legend({part.kind for part in found.parts}) if found.by == "tensor" else []
    label = f"Sensitivity of {found.model} to {found.precision} by {found.by}"
    return plain.picture(_HEIGHT, label, svg.text("strong", 4, 20, label), *parts)


def _slots(found: Sensitivity) -> list[str]:
    """Return the column of each part."""
    if found.by == "component":
        return [part.name for part in found.parts]
    inside = [re.search(r"layers?[ .](\d+)", part.name) for part in found.parts]
    return [match[1] if match else part.kind for match, part in zip(inside, found.parts, strict=True)]


def _ticks(columns: list[str]) -> list[tuple[float, str]]:
    short = {"embeddings": "emb.", "embeddings and head": "embeddings and head"}
    step = -(-len(columns) // 26)
    return [
        (i + 0.5, short.get(name, name))
        for i, name in enumerate(columns)
        if not name.isdigit() or int(name) % step == 0
    ]


def _title(found: Sensitivity) -> str:
    return "component" if found.by == "component" else "layer"


def _mark(found: Sensitivity, part: PartFigure, middle: float, width: float, y: Axis) -> list[Markup]:
    kl = part.mean_kl
    if not kl.value > 0:
        return []
    tip = f"{part.name}: KL {significant(kl.value)} nats, {part.saved / 1e6:,.1f} MB saved"
    if found.by == "tensor":
        kind, css = SHAPES[part.kind]
        return [
            plain.marker(
                kind,
                css,
                middle + {"circle": -0.14, "square": 0.14}.get(kind, 0.0) * width,
                y.at(kl.value),
                title=tip,
                size=4.2,
            )
        ]
    drawn = [svg.rect("bar", middle - 0.36 * width, y.at(kl.value), 0.72 * width, y.start - y.at(kl.value), title=tip)]
    if kl.low and kl.high:
        drawn.append(svg.line("whisker", middle, y.at(kl.low), middle, y.at(kl.high)))
    return drawn


def _legend(kinds: set[str]) -> list[Markup]:
    drawn, place = [], 320.0
    for kind, (shape, css) in SHAPES.items():
        if kind in kinds:
            drawn += [plain.marker(shape, css, place, 38, title=kind), svg.text("tick", place + 10, 42, kind)]
            place += 26 + 7.2 * len(kind) + 20
    return drawn
