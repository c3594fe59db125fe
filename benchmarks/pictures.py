"""The two pictures of docs/benchmarks.md, as SVG."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from markupsafe import Markup

from edgeconv.validate.report.html import svg
from edgeconv.validate.report.html.svg import Axis

from .result import LABELS, Figure

_STYLE = Markup(
    "<style>svg{background:#fff;font-family:system-ui,sans-serif}text{font-size:13px;fill:#222}.title{fill:#555}"
    ".tick{font-size:12px;fill:#555}.grid{stroke:#e4e4e4}.axis,.tickmark{stroke:#888}.wall{fill:#2b6cb0}.memory{fill:#9f7aea}"
    ".one{stroke:#c53030;stroke-dasharray:4 3}.time{fill:none;stroke:#2b6cb0;stroke-width:2.5}"
    ".peak{fill:none;stroke:#9f7aea;stroke-width:2.5}.name{font-weight:600}</style>"
)
_WIDTH = 860


def ratios(rows: Sequence[tuple[str, Figure]]) -> str:
    """Draw how many times less time and memory edgeconv takes than its peer, log scale; bars of each benchmark stand together."""
    left, top, step = 330, 30, 19
    titles = list(dict.fromkeys(title for title, _ in rows))
    height = top + 34 + len(rows) * step + len(titles) * 10
    values = [statistics.median(figure.ratios) for _, figure in rows]
    x = Axis(min(0.5, *values), max(*values, 2.0) * 1.25, left, _WIDTH - 100, log=True)
    bottom = height - 34
    parts: list[Markup] = []
    for tick in (0.5, 1, 2, 5, 10, 20, 50):
        if x.low <= tick <= x.high:
            parts.append(svg.line("one" if tick == 1 else "grid", x.at(tick), top - 8, x.at(tick), bottom))
            parts.append(svg.text("tick", x.at(tick), bottom + 16, f"{tick:g} ×", "middle"))
    place = float(top)
    for title in titles:
        parts.append(svg.text("name", 8, place + 13, title))
        for _, figure in (row for row in rows if row[0] == title):
            value = statistics.median(figure.ratios)
            start, stop = sorted((x.at(1), x.at(value)))
            wall = figure.name == LABELS["wall"]
            parts.append(svg.rect("wall" if wall else "memory", start, place, stop - start, step - 5))
            parts.append(svg.text("tick", stop + 5, place + 12, f"{'time' if wall else 'memory'} {value:.1f} ×"))
            place += step
        place += 10
    words = Markup('<text class="title" x="{}" y="16">times less than the peer (log scale)</text>').format(left)
    return _whole(height, "Ratios of time and memory", words, *parts)


def growth(points: Sequence[tuple[float, float, float]]) -> str:
    """Draw seconds and peak memory over the size of the source: (GB, s, GB)."""
    height, half = 300, _WIDTH // 2
    sizes = [size for size, _, _ in points]
    parts: list[Markup] = []
    for at, (label, css, column) in enumerate((("wall, s", "time", 1), ("peak anonymous memory, GB", "peak", 2))):
        high = max(point[column] for point in points) * 1.25
        x = Axis(0, max(sizes) * 1.08, at * half + 56, (at + 1) * half - 20)
        y = Axis(0, max(high, 0.6 if column == 2 else 0), height - 50, 40)
        ticks = [(tick, f"{tick:g}") for tick in svg.linear_ticks(x)]
        side = [(tick, f"{tick:g}") for tick in svg.linear_ticks(y)]
        parts.append(svg.frame(x, y, ticks, side, x_title="bfloat16 source, GB", y_title=""))
        parts.append(svg.text("name", x.start, 22, label))
        parts.append(svg.path(css, [(x.at(point[0]), y.at(point[column])) for point in points]))
        for point in points:
            parts.append(svg.text("tick", x.at(point[0]), y.at(point[column]) - 8, f"{point[column]:.3g}", "middle"))
    return _whole(height, "Time and memory by the size of the model", *parts)


def _whole(height: int, label: str, *parts: Markup) -> str:
    head = Markup(
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {} {}" width="{}" height="{}" role="img" aria-label="{}">'
    )
    return str(
        head.format(_WIDTH, height, _WIDTH, height, label) + _STYLE + Markup("").join(parts) + Markup("</svg>\n")
    )
