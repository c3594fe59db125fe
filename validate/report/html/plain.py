"""A page of one picture and one table, and a picture as a file of its own: for results that are not validation."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

from .jinja import digest, environment, source

WIDTH = 1000
STYLE = Markup(
    "<style>"
    ":root{{--ink:{ink};--muted:{muted};--rule:{rule};--paper:{paper};--one:{one};--two:{two};--soft:{soft}}}"
    "@media (prefers-color-scheme:dark){{:root{{--ink:#e7e9ec;--muted:#9fa7b1;--rule:#2c3139;--paper:#191c21;--one:#82a5ff;"
    "--two:#f2a65a;--soft:#2b3d6d}}}}"
    "svg{{background:var(--paper)}}"
    ".p text{{font:13px system-ui,-apple-system,'Segoe UI',Roboto,'Noto Sans',sans-serif;fill:var(--ink)}}"
    ".p .tick,.p .title{{fill:var(--muted);font-size:12.5px}}"
    ".p .grid{{stroke:var(--rule)}}.p .axis,.p .tickmark{{stroke:var(--muted)}}"
    ".p .bar{{fill:var(--soft);stroke:var(--one)}}"
    ".p .whisker{{stroke:var(--ink);stroke-width:1.5;stroke-opacity:.6;fill:none}}"
    ".p .one{{fill:var(--one);stroke:var(--paper)}}.p .two{{fill:var(--two);stroke:var(--paper)}}"
    ".p .three{{fill:var(--paper);stroke:var(--ink);stroke-width:1.6}}"
    ".p .front-one{{fill:none;stroke:var(--one);stroke-width:1.8}}"
    ".p .front-two{{fill:none;stroke:var(--two);stroke-width:1.8;stroke-dasharray:6 4}}"
    ".p .front-three{{fill:none;stroke:var(--ink);stroke-width:1.6;stroke-dasharray:2 3}}"
    ".p .ring{{fill:none;stroke:var(--ink);stroke-width:1.4}}"
    ".p .name{{font-size:12px;paint-order:stroke;stroke:var(--paper);stroke-width:4px;stroke-linejoin:round}}"
    ".p .strong{{font-weight:650}}"
    "</style>"
).format(
    ink="#1b1e23", muted="#5a616b", rule="#e3e4e2", paper="#fff", one="#3159c9", two="#b45309", soft="#c9d6fa"
)  # fmt: skip
"""Colors, for a light and for a dark page; whatever a color says, a shape or a stroke says too."""


def picture(height: float, label: str, *parts: Markup) -> Markup:
    """Put a picture together that carries its own style; `label` is what a screen reader says."""
    head = Markup(
        '<svg xmlns="http://www.w3.org/2000/svg" class="p" viewBox="0 0 {} {:.0f}" width="{}" role="img" aria-label="{}">'
    )
    return head.format(WIDTH, height, WIDTH, label) + STYLE + Markup("").join(parts) + Markup("</svg>\n")


def marker(kind: str, css: str, x: float, y: float, *, title: str, size: float = 5.5) -> Markup:
    """Draw a circle, square, triangle or diamond around a point; `title` is what hovering shows."""
    tip = Markup("<title>{}</title>").format(title)
    if kind == "circle":
        return Markup('<circle class="{}" cx="{:.1f}" cy="{:.1f}" r="{:.1f}">{}</circle>').format(css, x, y, size, tip)
    corners = {
        "square": [(-0.9, -0.9), (0.9, -0.9), (0.9, 0.9), (-0.9, 0.9)],
        "triangle": [(0, -1.2), (1.1, 0.85), (-1.1, 0.85)],
        "diamond": [(0, -1.3), (1.3, 0), (0, 1.3), (-1.3, 0)],
    }[kind]
    places = " ".join(f"{x + a * size:.1f},{y + b * size:.1f}" for a, b in corners)
    return Markup('<polygon class="{}" points="{}">{}</polygon>').format(css, places, tip)


def page(
    title: str,
    lead: str,
    shown: Markup,
    header: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    right: Sequence[int] = (),
    notes: Sequence[str] = (),
) -> str:
    """Return a self-contained HTML page: heading, picture, table, notes. Columns in `right` are flush right."""
    style, inner = source("page.css"), str(STYLE).removeprefix("<style>").removesuffix("</style>")
    policy = "default-src 'none'; style-src " + " ".join(f"'{digest(text)}'" for text in (style, inner))
    made: str = environment().get_template("plain.html").render(
        title=title, lead=lead, shown=shown, header=header, rows=rows, right=right, notes=notes,
        style=Markup(style), policy=policy,
    )  # fmt: skip
    return made + "\n"
