"""The model card of a repository that holds several GGUF types of one model: one card that lists them all.

It depends on the targets alone, not on their order or on which was published last.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ..core.escape import address, code, markdown
from ..core.manifest import Manifest
from ..core.units import size
from ..validate.report.model import Report
from ..validate.report.words import comparison, metric, quantity
from . import card
from .card_usage import snippets

_SHOWN = ("mean_kl", "top1")


@dataclass(frozen=True)
class Shown:
    """A target as a card shows it; `report_at` is the folder of its report, None if it has none (see `objection`)."""

    manifest: Manifest
    report: Report | None
    objection: str
    report_at: str | None
    manifest_at: str


def render(targets: Mapping[str, Shown], repo_id: str, branch: str | None = None) -> str:
    """Return the card's text for targets by their keys; there is at least one."""
    ordered = [targets[key] for key in sorted(targets)]
    manifests = [target.manifest for target in ordered]
    first = next((target.manifest for target in ordered if target.report), manifests[0])
    parts = [
        card.heading(repo_id),
        card.introduction(manifests),
        _parity(ordered),
        "## Use\n\n" + snippets(first, repo_id, branch),
        _files(ordered),
        *(card.made(one.manifest, f"How {_kind(one)} was made", one.manifest_at) for one in ordered),
        card.license(first),
    ]
    return f"---\n{card.front(manifests)}---\n\n" + "\n\n".join(parts) + "\n"


def _parity(targets: list[Shown]) -> str:
    head = ["", "size", "bits per weight", *(metric(key)[0] for key in _SHOWN), "same model?", "report"]
    rows = [[*_facts(target), *_figures(target), *_verdict(target)] for target in targets]
    text = "## Are they still the same model?\n\n" + card.table(head, rows)
    unshown = [target for target in targets if target.report is None]
    if unshown:
        names = ", ".join(map(_kind, unshown))
        text += f"\n\n> **Nobody has shown that {names} is still the same model**: "
        text += "; ".join(dict.fromkeys(markdown(target.objection) for target in unshown))
        text += ". It was published with `--allow-unvalidated`."
    return text


def _kind(target: Shown) -> str:
    return markdown(card.precision(target.manifest))


def _facts(target: Shown) -> list[str]:
    total = sum(file.size for file in target.manifest.outputs.values())
    return [f"**{_kind(target)}**", size(total), f"{target.manifest.bits_per_weight:.2f}"]


def _figures(target: Shown) -> list[str]:
    found = comparison(target.report, "quantisation") if target.report else None
    if found is None:
        return ["" for _ in _SHOWN]
    return [quantity(found.figures[key].value, metric(key)[1]) if key in found.figures else "–" for key in _SHOWN]


def _verdict(target: Shown) -> list[str]:
    if target.report is None:
        return ["not shown", ""]
    return [f"yes, {card.within(target.report)}", f"[parity.md]({address(str(target.report_at))}/parity.md)"]


def _files(targets: list[Shown]) -> str:
    rows = [
        [code(name), _kind(target), size(file.size)]
        for target in targets
        for name, file in sorted(target.manifest.outputs.items())
        if file.size >= card.LARGE
    ]
    return "## Files\n\n" + card.table(["", "type", "size"], rows)
