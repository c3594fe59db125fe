"""The model card: README.md of a published artifact, with the Hub's metadata in front.

License, languages and tags are the source's own (`source.card` of the manifest); nothing of the machine or its user is on it.
The manifest, the report and the source's card are foreign: their words stand on it only through core/escape.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..convert.conversion import describe_vision, format_of
from ..core.escape import address, code, link, markdown
from ..core.manifest import MANIFEST_NAME, Manifest
from ..core.units import size
from ..quantize.scheme import Scheme
from ..validate.report.model import BudgetLine, Report
from ..validate.report.words import bound, comparison, interval, metric, quantity
from .card_usage import snippets
from .gate import PARITY, Cleared

_SHOWN = ("mean_kl", "kl_99", "top1", "ln_ppl_ratio", "max_abs_logit", "cosine", "rank", "top5", "max_abs_state")
"""Those that a report has."""
_ENCODES = {"embed": "sentence-similarity", "score": "text-ranking"}
"""An encoder's task → as the Hub calls it."""
_OF_DECODERS = ("cosine", "top5")
"""Figures that a comparison of logits has as well, and that its card leaves out."""
_HUB = "https://huggingface.co"
LARGE = 1_000_000
"""Bytes from which a file is worth a row of its own."""


def render(cleared: Cleared, repo_id: str, branch: str | None = None, report_at: str = PARITY) -> str:
    """Return the card's text; `branch` is where it is published, None for the default one, `report_at` the report's folder."""
    manifest = cleared.manifest
    use = "## Use\n\n" + snippets(manifest, repo_id, branch)
    parity = _parity(cleared, report_at)
    parts = [
        heading(repo_id),
        introduction([manifest]),
        *([use, parity] if cleared.report else [parity, use]),  # a warning comes first
        _files(manifest),
        made(manifest, "How it was made"),
        license(manifest),
    ]
    return f"---\n{front([manifest])}---\n\n" + "\n\n".join(parts) + "\n"


def heading(repo_id: str) -> str:
    """Return the card's first line."""
    return f"# {markdown(repo_id.rsplit('/', 1)[-1])}"


def front(manifests: Sequence[Manifest]) -> str:
    """Return the Hub's metadata, of artifacts of one source and format."""
    import yaml

    manifest = manifests[0]
    card, source = manifest.source.card, manifest.source
    tags = [*_plain(card.get("tags")), format_of(manifest).hub_library, "edgeconv", *map(precision, manifests)]
    fields: dict[str, Any] = {key: card[key] for key in ("license", "license_name") if card.get(key)}
    if link := _license_link(manifest):
        fields["license_link"] = link
    if source.repo_id:
        fields |= {"base_model": source.repo_id, "base_model_relation": "quantized"}
    if card.get("language"):
        fields["language"] = card["language"]
    fields["pipeline_tag"] = card.get("pipeline_tag") or (
        "image-text-to-text"
        if manifest.vision
        else _ENCODES[manifest.encoder.task]
        if manifest.encoder
        else "text-generation"
    )
    fields |= {"library_name": format_of(manifest).hub_library, "tags": list(dict.fromkeys(filter(None, tags)))}
    return str(yaml.safe_dump(fields, sort_keys=False, allow_unicode=True))


def precision(manifest: Manifest) -> str:
    """Return the name of an artifact's scheme, as its manifest has it: it is to be escaped."""
    return str(manifest.scheme.get("precision") or manifest.scheme.get("file_type") or "")


def introduction(manifests: Sequence[Manifest]) -> str:
    """Say what was converted to what, of artifacts of one source and format."""
    manifest = manifests[0]
    source = manifest.source
    origin = (
        link(source.repo_id, f"{_HUB}/{source.repo_id}")
        if source.repo_id
        else f"A {markdown(source.model_type)} checkpoint"
    )
    if len(manifests) > 1:
        kinds = ", ".join(f"**{markdown(precision(one))}**" for one in manifests)
        return f"{origin}, {_count(source.parameters)} parameters, as {format_of(manifest).title} in {kinds}."
    total = sum(file.size for file in manifest.outputs.values())
    kind = f"{format_of(manifest).title} in **{markdown(precision(manifest))}**"
    return (
        f"{origin}, {_count(source.parameters)} parameters, as {kind}: "
        f"{size(total)}, {manifest.bits_per_weight:.2f} bits per weight."
    )


def _parity(cleared: Cleared, report_at: str) -> str:
    if cleared.report is None:
        return (
            "## Not validated\n\n> **Nobody has shown that this is still the same model**: "
            f"{markdown(cleared.objection)}. It was published with `--allow-unvalidated`."
        )
    report = cleared.report
    reports = f"The whole report: [parity.md]({address(report_at)}/parity.md), or with every token in color "
    reports += f"[parity.html]({address(report_at)}/parity.html) (download it and open it in a browser)."
    dtype = report.reference.facts.get("dtype", "float32")
    return (
        f"## Is it still the same model?\n\nYes, {within(report)}: measured token by token against "
        f"{markdown(report.reference.name)} in {markdown(dtype)}, over {_tokens(report):,} tokens, with `{_command(report)}`.\n\n"
        f"{_figures(report)}\n\n{reports}"
    )


def within(report: Report) -> str:
    """Say whose budget a report that passed is within: a user may have asked for less than edgeconv does."""
    looser = [line for line in report.budgets if line.looser]
    if not looser:
        return "within its budget"
    names = ", ".join(dict.fromkeys(metric(line.metric)[0] for line in looser))
    return f"**within a budget that is looser than edgeconv's own limits** ({markdown(names)})"


def _figures(report: Report) -> str:
    """The table; the noise floor has its column if it was measured (not by --quick)."""
    found, floor = comparison(report, "quantisation"), comparison(report, "noise_floor")
    budgets = {line.metric.removeprefix("quantisation."): line for line in report.budgets}
    rows = []
    figures = found.figures if found else {}
    left_out = _OF_DECODERS if "mean_kl" in figures else ()
    for key in (key for key in _SHOWN if key in figures and key not in left_out):
        title, unit = metric(key)
        value = figures[key]
        spread = interval(key, value)
        measured = quantity(value.value, unit) + (f" ({spread})" if spread else "")
        beside = [quantity(floor.figures[key].value, unit)] if floor else []
        rows.append([title, measured, _limit(budgets.get(key)), *beside])
    if not floor:
        return table(["", "this model", "budget"], rows)
    note = "The noise floor is how far the original is from itself when it computes in bfloat16."
    return table(["", "this model", "budget", "noise floor"], rows) + "\n\n" + note


def _command(report: Report) -> str:
    quick = any(check.status == "skipped" and "--quick" in check.summary for check in report.rungs)
    return "edgeconv validate --quick" if quick else "edgeconv validate"


def _limit(line: BudgetLine | None) -> str:
    return bound(line) if line else ""


def _tokens(report: Report) -> int:
    found = comparison(report, "quantisation")
    return found.tokens if found else 0


def _files(manifest: Manifest) -> str:
    large = [(name, file.size) for name, file in sorted(manifest.outputs.items()) if file.size >= LARGE]
    rest = [file.size for file in manifest.outputs.values() if file.size < LARGE]
    rows = [[code(name), size(count)] for name, count in large]
    if rest:
        rows.append([f"{len(rest)} smaller files", size(sum(rest))])
    return "## Files\n\n" + table(["", "size"], rows)


def made(manifest: Manifest, title: str, manifest_at: str = MANIFEST_NAME) -> str:
    """Return the section that says how an artifact was made; `title` is inert Markdown, `manifest_at` the manifest's name."""
    source = manifest.source
    rows = []
    if source.repo_id and source.commit:
        where = f"{_HUB}/{source.repo_id}/tree/{source.commit}"
        rows.append(("source", link(f"{source.repo_id} at {source.commit[:12]}", where)))
    rows.append(("scheme", markdown(_scheme(manifest))))
    if manifest.vision:
        rows.append(("vision", markdown(_vision_scheme(manifest.vision.scheme))))
    quantizer = "" if manifest.compressor == "none" else f", quantized by {manifest.compressor}"
    rows.append(("engine", markdown(f"{manifest.engine}{quantizer}")))
    rows += [("assumed", markdown(text)) for text in manifest.assumed] + [
        ("note", markdown(text)) for text in manifest.notes
    ]
    rows.append(
        ("versions", markdown(", ".join(f"{name} {version}" for name, version in sorted(manifest.versions.items()))))
    )
    lines = "\n".join(f"- **{label}**: {text}" for label, text in rows)
    return (
        f"## {title}\n\n{lines}\n\n{code(manifest_at)} has the SHA-256 of every file that went in and came out; "
        "`edgeconv verify` checks them."
    )


def _scheme(manifest: Manifest) -> str:
    """A sentence; of a scheme that another version wrote its fields."""
    try:
        scheme = format_of(manifest).scheme(manifest.scheme)
        text = format_of(manifest).describe(manifest.scheme, "weighed by the importance matrix")
    except TypeError:
        return _listed(manifest.scheme)
    if not isinstance(scheme, Scheme) or not scheme.compresses:
        return text
    chosen = {"user": "", "nncf": ", NNCF's defaults"}
    return text + chosen.get(scheme.chosen_by, f", as the vendor of {scheme.chosen_by} chose")


def _vision_scheme(fields: dict[str, Any]) -> str:
    try:
        return describe_vision(fields)
    except TypeError:
        return _listed(fields)


def _listed(fields: dict[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in sorted(fields.items()) if value not in (None, [], False))


def license(manifest: Manifest) -> str:
    """Return the section on the license, which is the source's."""
    card = manifest.source.card
    name, where = card.get("license_name") or card.get("license"), _license_link(manifest)
    if not isinstance(name, str):
        return "## License\n\nThe source's; its model card states none."
    return f"## License\n\nThe source's: {link(name, where) if where else markdown(name)}."


def _license_link(manifest: Manifest) -> str | None:
    """Where the license is: a file that the artifact took over, an address, or the file at the source; never a script."""
    source, stated = manifest.source, manifest.source.card.get("license_link")
    where = address(stated) if isinstance(stated, str) else None
    if where is None or stated in manifest.outputs or where.startswith(("http://", "https://")):
        return where
    return address(f"{_HUB}/{source.repo_id}/blob/{source.commit or 'main'}/{stated}") if source.repo_id else None


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table in Markdown of inert cells, the first column left, the others right."""
    rule = ["---", *("---:" for _ in head[1:])]
    return "\n".join("| " + " | ".join(row) + " |" for row in [head, rule, *rows])


def _count(number: int) -> str:
    return f"{number / 1e9:.2f} billion" if number >= 1e9 else f"{number / 1e6:.1f} million"


def _plain(value: Any) -> list[str]:
    """Return tags that are words. Those with a colon (base_model:, arxiv:, dataset:) say where a model comes from.

    The source's own descent is not this model's, and nobody has checked it: `base_model` of the front matter names the source.
    """
    items = value if isinstance(value, list) else [value]
    return [item for item in items if isinstance(item, str) and item and ":" not in item]
