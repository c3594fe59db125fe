"""The suite's documents as text, each token with a class for its KL, and the alternatives as data for the page's script.

Tokens are hostile input: everything goes through markupsafe, and the script only ever sets textContent.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup, escape

from ....core.escape import visible
from ..model import DocumentScore, TokenScore
from ..words import significant
from .charts import profile

LEVELS = (0.01, 0.03, 0.1, 0.3, 1.0)
"""KL in nats from which a token gets the next color."""
_SCALE = 10_000
"""Probabilities are sent as whole 1/10000: the page must stay small."""


@dataclass(frozen=True)
class Entry:
    """What the script is told of one token; probabilities in whole 1/10000, -1 where they are not finite."""

    kl: float | None
    shown: str
    alternatives: list[tuple[str, int, int]]


@dataclass(frozen=True)
class DocumentView:
    """One document: heading facts, `body` (its tokens as markup), `entries` (the data for each of them)."""

    name: str
    kind: str
    tokens: int
    mean_kl: str
    high: int
    profile: Markup
    body: Markup
    entries: list[Entry]


def worst_first(documents: Sequence[DocumentScore]) -> list[DocumentScore]:
    """Sort by mean KL, falling; one that is not finite is the worst there can be."""
    return sorted(documents, key=lambda one: -one.mean_kl if math.isfinite(one.mean_kl) else -math.inf)


def view(document: DocumentScore) -> DocumentView:
    """Prepare a document for the template."""
    kls = [token.kl for token in document.tokens]
    return DocumentView(
        name=visible(document.name),
        kind=visible(document.kind),
        tokens=len(document.tokens),
        mean_kl=significant(document.mean_kl),
        high=sum(1 for kl in kls if kl is not None and not kl < LEVELS[3]),
        profile=profile(kls),
        body=Markup("").join(_token(token) for token in document.tokens),
        entries=[_entry(token) for token in document.tokens],
    )


def data(views: Sequence[DocumentView], least: float) -> Markup:
    """Give the script its data as JSON: alternatives only of tokens whose KL is at least `least` (or not finite).

    {"texts": […], "documents": [[[kl, text, reference, artifact, …] or kl, …], …]}: `kl` as it is shown, `text` an
    index into texts, probabilities in 1/10000. An entry is the KL alone where a token has no alternatives.
    """
    texts: dict[str, int] = {}
    rows = []
    for document in views:
        row: list[Any] = []
        for entry in document.entries:
            if not entry.alternatives or entry.kl is None or entry.kl < least:
                row.append(entry.shown)
                continue
            flat: list[str | int] = [entry.shown]
            for text, reference, artifact in entry.alternatives:
                flat += [texts.setdefault(text, len(texts)), reference, artifact]
            row.append(flat)
        rows.append(row)
    packed = json.dumps({"texts": list(texts), "documents": rows}, ensure_ascii=False, separators=(",", ":"))
    # The only ways out of a script element begin with "<"; as an escape of JSON it is the same text.
    return Markup(packed.replace("<", "\\u003c"))


def level(kl: float | None) -> str:
    """CSS class of a token: "" below the first level, k1 to k5, "x" for not finite, "u" for the unscored first one."""
    if kl is None:
        return "u"
    if not math.isfinite(kl):
        return "x"
    reached = sum(kl >= limit for limit in LEVELS)
    return f"k{reached}" if reached else ""


def _token(token: TokenScore) -> Markup:
    css = level(token.kl)
    if token.text.strip("\r\n") != token.text:
        css = f"{css} n".strip()
    opening = f'<b class="{css}">' if " " in css else f"<b class={css}>" if css else "<b>"
    return Markup(opening) + escape(visible(token.text.replace("\r\n", "\n"))) + Markup("</b>")


def _entry(token: TokenScore) -> Entry:
    alternatives = [
        (visible(one.text, keep="").replace("␊", "↵"), _whole(one.reference), _whole(one.artifact))
        for one in token.alternatives
    ]
    return Entry(token.kl, "" if token.kl is None else significant(token.kl), alternatives)


def _whole(share: float) -> int:
    return round(share * _SCALE) if math.isfinite(share) else -1
