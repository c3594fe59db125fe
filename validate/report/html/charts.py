"""The charts of the report: how KL is distributed, how it runs over positions, and how the errors compare."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

from markupsafe import Markup

from ..model import Comparison, Histogram, PositionBlock
from ..words import COMPARISON_TITLES, interval, percent, significant
from . import svg
from .svg import Axis

_WIDE, _HALF, _THIRD, _HEIGHT = 1080, 528, 356, 300


def histogram(main: Comparison, floor: Comparison | None, limit: float | None) -> Markup:
    """Draw the share of tokens per bin of KL, log x: bars for `main`, an outline for the noise floor, marks for means."""
    shown = [one for one in (main, floor) if one]
    edges = [edge for one in shown for edge in _edges(one.histogram, used_only=True)]
    x = svg.decades(edges, 62, _WIDE - 16)
    x = Axis(max(x.low, min(edges, default=x.low)), min(x.high, max(edges, default=x.high)), x.start, x.stop, log=True)
    high = max((share for one in shown for share in _shares(one.histogram)), default=0) or 1.0
    y = Axis(0, high * 1.06, _HEIGHT - 46, 74)
    parts = [
        svg.frame(
            x,
            y,
            _inner_decades(x),
            svg.percent_ticks(y),
            x_title="KL of a token, nats (log scale)",
            y_title="share of tokens",
        )
    ]
    for (low, high_edge), share in _bins(main.histogram):
        tip = f"KL {significant(low, 2)} to {significant(high_edge, 2)} nats: {percent(share)} of the tokens"
        left, right, top = x.at(low), x.at(high_edge), y.at(share)
        parts.append(svg.rect("bar", left + 0.5, top, right - left - 1, y.start - top, title=tip))
    if floor:
        corners = [(x.at(e), y.at(s)) for (low, up), s in _bins(floor.histogram) for e in (low, up)]
        parts.append(svg.path("floor", corners))
    marks = [("mean", main, "mark-main"), ("noise floor, mean", floor, "mark-floor")]
    means = [
        (label, one.figures["mean_kl"].value, css) for label, one, css in marks if one and "mean_kl" in one.figures
    ]
    notes = [(f"{label} {significant(value)}", value, css) for label, value, css in means]
    if limit is not None:
        notes.append((f"budget of the mean {limit:.6g}", limit, "mark-limit"))
    parts += [
        svg.line(css, x.at(value), y.start, x.at(value), 8 + 17 * row)
        for row, (_, value, css) in enumerate(notes)
        if value > 0 and math.isfinite(value)
    ]
    parts += [_note(x, words, value, css, 18 + 17 * row) for row, (words, value, css) in enumerate(notes)]
    label = f"Histogram of KL per token in nats, {main.tokens} tokens; " + ", ".join(words for words, _, _ in notes)
    return svg.picture(_WIDE, _HEIGHT, label, *parts)


def _note(x: Axis, words: str, value: float, css: str, height: float) -> Markup:
    if not (value > 0 and math.isfinite(value)):
        return svg.text(f"note {css}", x.start, height, words)
    place = x.at(value)
    anchor, shift = ("end", -6) if place > (x.start + x.stop) / 2 else ("start", 6)
    return svg.text(f"note {css}", place + shift, height, words, anchor)


def _inner_decades(x: Axis) -> list[tuple[float, str]]:
    powers = range(math.ceil(math.log10(x.low) - 1e-9), math.floor(math.log10(x.high) + 1e-9) + 1)
    step = max(1, -(-len(powers) // 12))
    return [(10.0**power, svg.power_label(power)) for power in powers[::step]]


def _edges(found: Histogram, *, used_only: bool = False) -> list[float]:
    """Edges fit for a log axis: an open or non-positive end is put a decade from its neighbor."""
    edges = [edge for edge in found.edges if math.isfinite(edge) and edge > 0]
    if len(found.edges) != len(found.counts) + 1 or not edges:
        return []
    if not found.edges[0] > 0:
        edges.insert(0, edges[0] / 10)
    if not math.isfinite(found.edges[-1]):
        edges.append(edges[-1] * 10)
    if len(edges) != len(found.edges):
        return []
    filled = [index for index, count in enumerate(found.counts) if count]
    if used_only:
        return edges[filled[0] : filled[-1] + 2] if filled else []
    return edges


def _shares(found: Histogram) -> list[float]:
    total = sum(found.counts)
    return [count / total for count in found.counts] if total else []


def _bins(found: Histogram) -> list[tuple[tuple[float, float], float]]:
    bins = list(zip(pairwise(_edges(found)), _shares(found), strict=False))
    filled = [index for index, (_, share) in enumerate(bins) if share]
    return bins[filled[0] : filled[-1] + 1] if filled else []


def histogram_rows(found: Histogram) -> list[tuple[str, int]]:
    """Give the histogram as a table: bounds in nats and count, without the empty ends."""
    counts = [count for _, count in zip(pairwise(_edges(found)), found.counts, strict=False)]
    rows = [
        (f"{significant(low)} to {significant(high)}", count)
        for (low, high), count in zip(pairwise(_edges(found)), counts, strict=False)
    ]
    filled = [index for index, (_, count) in enumerate(rows) if count]
    return rows[filled[0] : filled[-1] + 1] if filled else []


def kl_by_position(main: Comparison, floor: Comparison | None) -> Markup:
    """Draw mean KL per block of positions, log y, with the noise floor below it."""
    series = _series(main, floor, "mean_kl", positive=True)
    y = svg.decades((point for _, blocks in series for _, point in blocks), _HEIGHT - 46, 34)
    return _by_position(
        main, series, y, svg.decade_ticks(y), title="mean KL, nats (log scale)", label="Mean KL by position"
    )


def top1_by_position(main: Comparison, floor: Comparison | None) -> Markup:
    """Draw top-1 agreement per block of positions."""
    series = _series(main, floor, "top1")
    lowest = min((point for _, blocks in series for _, point in blocks), default=0.0)
    y = Axis(max(0.0, min(0.98, math.floor(lowest * 20 - 0.2) / 20)), 1.0, _HEIGHT - 46, 34)
    return _by_position(
        main, series, y, svg.percent_ticks(y), title="top-1 agreement", label="Top-1 agreement by position"
    )


def logits_by_position(main: Comparison) -> Markup:
    """Draw the largest logit difference per block of positions."""
    series = _series(main, None, "max_abs_logit")
    top = max((point for _, blocks in series for _, point in blocks), default=0) or 1.0
    y = Axis(0, top * 1.1, _HEIGHT - 46, 34)
    ticks = [(tick, f"{tick:g}") for tick in svg.linear_ticks(y)]
    return _by_position(
        main, series, y, ticks, title="largest logit difference", label="Largest logit difference by position"
    )


_Series = list[tuple[str, list[tuple[PositionBlock, float]]]]


def _series(main: Comparison, floor: Comparison | None, figure: str, *, positive: bool = False) -> _Series:
    found: _Series = []
    for css, one in (("line-main", main), ("line-floor", floor)):
        values = [(block, float(getattr(block, figure))) for block in (one.positions if one else [])]
        found.append((css, [(block, v) for block, v in values if math.isfinite(v) and (v > 0 or not positive)]))
    return found


def _by_position(
    main: Comparison, series: _Series, y: Axis, y_ticks: Sequence[tuple[float, str]], *, title: str, label: str
) -> Markup:
    last = max((block.stop for block in main.positions), default=1)
    width = _THIRD if main.name == "long_context" else _HALF  # that one has three charts
    x = Axis(0, max(1, last), 54, width - 26)
    ticks = [(tick, f"{tick:,.0f}") for tick in svg.binary_ticks(x, 4 if width == _THIRD else 8)]
    parts = [svg.frame(x, y, ticks, y_ticks, x_title="position in the document, tokens", y_title=title)]
    for css, blocks in reversed(series):
        inside = [(block, value) for block, value in blocks if block.start < last]
        corners = [(x.at(edge), y.at(value)) for block, value in inside for edge in (block.start, block.stop)]
        parts.append(svg.path(css, corners))
    for block in main.positions:
        tip = (
            f"positions {block.start:,} to {block.stop - 1:,} ({block.tokens:,} tokens): mean KL "
            f"{significant(block.mean_kl)} nats, top-1 {percent(block.top1)}, "
            f"largest logit difference {significant(block.max_abs_logit)}"
        )
        left, right = x.at(block.start), x.at(block.stop)
        parts.append(svg.rect("hit", left, y.stop, right - left, y.start - y.stop, title=tip))
    return svg.picture(width, _HEIGHT, f"{label}, {COMPARISON_TITLES[main.name].lower()}", *parts)


def errors(found: Sequence[Comparison], limits: dict[str, float]) -> Markup:
    """Draw the mean KL of each comparison with its interval on one log axis; `limits` are budgets by comparison name."""
    rows = [(one, one.figures["mean_kl"]) for one in found if "mean_kl" in one.figures]
    values = [v for _, mean in rows for v in (mean.value, mean.low, mean.high) if v is not None]
    height = 40 + 38 * len(rows) + 46
    x = svg.decades([*values, *limits.values()], 170, _WIDE - 90)
    y = Axis(0, 1, height - 46, 26)
    parts = [svg.frame(x, y, svg.decade_ticks(x), [], x_title="mean KL, nats (log scale)", y_title="")]
    parts += [svg.line("grid", x.at(tick), y.start, x.at(tick), y.stop) for tick, _ in svg.decade_ticks(x)]
    for index, (one, mean) in enumerate(rows):
        place = 46 + 38 * index
        parts.append(svg.text("row", 8, place + 4, COMPARISON_TITLES[one.name]))
        if not (math.isfinite(mean.value) and mean.value > 0):
            parts.append(svg.text("value", x.start + 8, place + 4, significant(mean.value)))
            continue
        css = "floor" if one.name == "noise_floor" else "main"
        parts.append(svg.line(f"stem {css}", x.start, place, x.at(mean.value), place))
        bounds = [v for v in (mean.low, mean.high) if v is not None and math.isfinite(v) and v > 0]
        if len(bounds) == 2:
            parts.append(svg.line(f"whisker {css}", x.at(bounds[0]), place, x.at(bounds[1]), place))
        tip = f"{significant(mean.value)} nats; 95 % interval {interval('mean_kl', mean) or 'not known'}"
        dot = Markup('<circle class="dot {}" cx="{:.1f}" cy="{:.1f}" r="6"><title>{}</title></circle>')
        parts.append(dot.format(css, x.at(mean.value), place, tip))
        end = max([x.at(mean.value), *map(x.at, bounds)])
        parts.append(svg.text("value", end + 12, place + 5, significant(mean.value)))
        if one.name in limits:
            limit = x.at(limits[one.name])
            parts.append(svg.line("mark-limit", limit, place - 14, limit, place + 14))
            parts.append(svg.text("note mark-limit", limit, place - 18, f"budget {limits[one.name]:.6g}", "middle"))
    return svg.picture(_WIDE, height, "Mean KL of each comparison on one logarithmic axis", *parts)


def profile(kls: Sequence[float | None], bins: int = 72) -> Markup:
    """Draw a strip of the largest KL along a document, log height from 0.001 to 10 nats."""
    values = [0.0 if kl is None else kl for kl in kls]
    if not values:
        return Markup()
    count = min(bins, len(values))
    y = Axis(1e-3, 10.0, 20, 1, log=True)
    width = 144 / count
    shape = ""
    for index in range(count):
        part = values[index * len(values) // count : (index + 1) * len(values) // count]
        worst = max((10.0 if not math.isfinite(value) else value for value in part), default=0.0)
        shape += f"M{index * width:.1f} 20V{y.at(max(worst, 1e-3)) - 0.5:.1f}h{max(1.0, width - 0.6):.1f}V20z"
    return Markup('<svg class="profile" viewBox="0 0 144 20" aria-hidden="true"><path d="{}"/></svg>').format(shape)
