"""What a repository is to hold when a target is published: its files, its manifest, its report, the card and the record."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from pydantic import ValidationError

from ..core.errors import AccessError
from ..core.manifest import LARGEST, Manifest
from ..core.progress import Progress
from ..hub.client import Retry
from ..hub.upload import Content
from ..validate.report import html, markdown
from ..validate.report.model import Report
from ..validate.report.write import HTML_NAME, JSON_NAME, MARKDOWN_NAME
from . import card, record, several
from .gate import LARGEST_REPORT, Cleared
from .ownership import CARD, Holding
from .place import PARITY
from .record import Record, Sent, Target
from .several import Shown


def of_target(cleared: Cleared, holding: Holding) -> tuple[Shown, Target, dict[str, Content]]:
    """Return the target as the card shows it and as the record states it, and its files.

    The report's renderings are made here, from the report that was checked; what lies beside it is not looked at.
    """
    manifest_at = holding.own.manifest if holding.own else record.manifest_place(cleared.manifest, holding.others)
    report_at = record.report_place(manifest_at)
    files: dict[str, Content] = {**cleared.files, manifest_at: cleared.manifest_data}
    report, data = cleared.report, cleared.report_data
    if report is not None and data is not None:
        files[f"{report_at}/{JSON_NAME}"] = data
        files[f"{report_at}/{MARKDOWN_NAME}"] = markdown.render(report).encode()
        files[f"{report_at}/{HTML_NAME}"] = html.render(report).encode()
    shown = Shown(cleared.manifest, report, cleared.objection, report_at if report is not None else None, manifest_at)
    stated = {name: Sent.of(content) for name, content in files.items()}
    target = Target(manifest=manifest_at, report=shown.report_at, objection=shown.objection, files=stated)
    return shown, target, files


def with_card(
    repo_id: str,
    branch: str | None,
    targets: Mapping[str, tuple[Shown, Target]],
    own: Mapping[str, Content],
    cleared: Cleared,
) -> dict[str, Content]:
    """Add the card, which lists every target of the repository, and the record. Both depend on nothing but the targets."""
    if len(targets) == 1:
        (shown, _) = next(iter(targets.values()))
        text = card.render(cleared, repo_id, branch, shown.report_at or PARITY)
    else:
        text = several.render({key: shown for key, (shown, _) in targets.items()}, repo_id, branch)
    made = Record(card=Sent.of(text.encode()), targets={key: target for key, (_, target) in targets.items()})
    return {**own, CARD: text.encode(), record.NAME: made.dump()}


def others(holding: Holding, retry: Retry, progress: Progress) -> dict[str, tuple[Shown, Target]]:
    """Read manifest and report of the targets that share the repository.

    Raises:
        AccessError: one is not what was published.
    """
    found = {}
    for key, target in holding.others.items():
        manifest = report = None
        try:
            manifest = Manifest.model_validate_json(
                _read(holding, key, target.manifest, largest=LARGEST, retry=retry, progress=progress)
            )
            if target.report:
                path = f"{target.report}/{JSON_NAME}"
                report = Report.model_validate_json(
                    _read(holding, key, path, largest=LARGEST_REPORT, retry=retry, progress=progress)
                )
        except ValidationError as error:
            raise _changed(holding, key, target.manifest) from error
        found[key] = (Shown(manifest, report, target.objection, target.report, target.manifest), target)
    return found


def _read(holding: Holding, key: str, path: str, *, largest: int, retry: Retry, progress: Progress) -> bytes:
    sent = holding.others[key].files.get(path)
    if sent is None or path not in holding.repository.files:
        raise _changed(holding, key, path)
    data = holding.repository.read(path, largest, retry, progress)
    if hashlib.sha256(data).hexdigest() != sent.sha256:
        raise _changed(holding, key, path)
    return data


def _changed(holding: Holding, key: str, path: str) -> AccessError:
    return AccessError(
        f"{holding.repository.repo_id} holds {key} too, and its {path} is not what was published.",
        f"Publish that one again first, or drop it with --replace {key}.",
    )
