"""Two artifacts side by side: what they were made from, how, what it costs, and what parity says of each."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from ..core.errors import ArtifactError
from ..core.manifest import Manifest, TensorEntry
from ..core.progress import Progress
from ..hub import client
from ..hub.client import Retry
from ..hub.listing import CommitListing
from ..hub.source import parse
from ..validate.report.model import Report
from ..validate.report.words import comparison
from ..validate.report.write import JSON_NAME, read
from .place import PARITY, find
from .verify import read_published

_FIGURES = ("mean_kl", "kl_99", "top1", "ln_ppl_ratio", "max_abs_logit")


@dataclass(frozen=True)
class Side:
    """One of the two: its manifest, and its parity report if there is one."""

    name: str
    manifest: Manifest
    report: Report | None


@dataclass(frozen=True)
class Difference:
    """The comparison: `rows` are (what, first, second), `tensors` those stored otherwise, `files` those whose content differs.

    Formats have names of their own for tensors: of two formats none are compared, which `formats` tells.
    """

    rows: tuple[tuple[str, Any, Any], ...]
    tensors: tuple[tuple[str, str, str], ...]
    files: tuple[str, ...]
    formats: bool = False

    @property
    def same(self) -> bool:
        """True if both hold the same files."""
        return not self.files


def load(where: str, progress: Progress, retry: Retry | None = None) -> Side:
    """Read one side: a folder, or a repository of the Hub (`name@revision`).

    Raises:
        ArtifactError: there is no manifest.
        UsageError, AccessError, HubUnreachableError: as `hub.source.parse` and `hub.client.resolve`.
    """
    source = parse(where)
    if source.folder is not None:
        place = find(source.folder)
        report = read(place.report) if (place.report / JSON_NAME).is_file() else None
        return Side(where, place.manifest, report)
    retry = retry or Retry()
    listing = client.resolve(str(source.repo_id), source.revision, retry, progress)
    return Side(where, read_published(listing, progress, retry), _published_report(listing, progress, retry))


def compare(first: Side, second: Side) -> Difference:
    """Compare two sides."""
    rows: list[tuple[str, Any, Any]] = [
        (label, a, b) for label, a, b in zip(_LABELS, _facts(first), _facts(second), strict=True)
    ]
    schemes = sorted({*first.manifest.scheme, *second.manifest.scheme})
    pairs = [(key, first.manifest.scheme.get(key), second.manifest.scheme.get(key)) for key in schemes]
    rows += [(f"scheme: {key}", a, b) for key, a, b in pairs if a != b]
    rows += [(f"parity: {key}", _figure(first, key), _figure(second, key)) for key in _FIGURES]
    versions = sorted({*first.manifest.versions, *second.manifest.versions})
    told = [(name, first.manifest.versions.get(name), second.manifest.versions.get(name)) for name in versions]
    rows += [(f"version: {name}", a, b) for name, a, b in told if a != b]
    outputs = (first.manifest.outputs, second.manifest.outputs)
    files = sorted({*outputs[0], *outputs[1]})
    formats = first.manifest.target != second.manifest.target
    return Difference(
        tuple(rows),
        () if formats else _tensors(first, second),
        tuple(n for n in files if outputs[0].get(n) != outputs[1].get(n)),
        formats,
    )


_LABELS = ("target", "source", "commit", "parameters", "bytes", "bits per weight", "engine", "verdict")


def _facts(side: Side) -> tuple[Any, ...]:
    manifest = side.manifest
    return (
        manifest.target,
        manifest.source.repo_id,
        manifest.source.commit,
        manifest.source.parameters,
        sum(file.size for file in manifest.outputs.values()),
        manifest.bits_per_weight,
        f"{manifest.engine}, {manifest.compressor}",
        side.report.verdict if side.report else None,
    )


def _figure(side: Side, key: str) -> float | None:
    found = comparison(side.report, "quantisation") if side.report else None
    return found.figures[key].value if found and math.isfinite(found.figures[key].value) else None


def _tensors(first: Side, second: Side) -> tuple[tuple[str, str, str], ...]:
    sides = [{tensor.name: _stored(tensor) for tensor in side.manifest.tensors} for side in (first, second)]
    names = list(dict.fromkeys([*sides[0], *sides[1]]))
    pairs = ((name, sides[0].get(name, "-"), sides[1].get(name, "-")) for name in names)
    return tuple(pair for pair in pairs if pair[1] != pair[2])


def _stored(tensor: TensorEntry) -> str:
    group = "" if tensor.group_size is None else f" group {tensor.group_size}" if tensor.group_size > 0 else " row"
    return f"{tensor.precision}{group}"


def _published_report(listing: CommitListing, progress: Progress, retry: Retry) -> Report | None:
    path = f"{PARITY}/{JSON_NAME}"
    file = next((file for file in listing.files if file.path == path), None)
    if file is None:
        return None
    data = client.read_range(listing, path, 0, file.size, retry=retry, progress=progress)
    try:
        return Report.model_validate_json(data)
    except ValidationError as error:
        raise ArtifactError(
            f"The parity report of {listing.repo_id} cannot be read.", "Another version wrote it."
        ) from error
