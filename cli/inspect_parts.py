"""What `edgeconv inspect` shows of every format: the manifest's rows, and the tables of types and tensors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from .output import Output, size

if TYPE_CHECKING:
    from ..core.manifest import Manifest, TensorEntry, VisionFacts
    from ..validate.artifact import FileCheck
    from ..validate.histogram import Share

_ROW_ORDERS = {"source": "as in the checkpoint", "rotate_half": "permuted to rotate-half (--rope fused)"}


def manifest_rows(manifest: Manifest, files: FileCheck) -> list[tuple[str, str]]:
    """Label and value of what a manifest says."""
    source, order = manifest.source, manifest.row_order
    origin = f"{source.repo_id}@{source.commit}" if source.repo_id else "a folder"
    return [
        ("source", f"{origin} ({source.model_type}, {source.parameters:,} parameters)"),
        ("source size", size(sum(file.size for file in source.files.values()))),
        ("size", size(sum(file.size for file in manifest.outputs.values()))),
        ("bits per weight", f"{manifest.bits_per_weight:.2f}"),
        ("scheme", describe_scheme(manifest)),
        *_vision_rows(manifest),
        ("engine", f"{manifest.engine}, compressor {manifest.compressor}"),
        *([("rows of q and k", _ROW_ORDERS.get(order, order))] if order else []),
        *(("assumed", text) for text in manifest.assumed),
        *(("note", text) for text in manifest.notes),
        ("versions", ", ".join(f"{name} {version}" for name, version in sorted(manifest.versions.items()))),
        ("files", _describe_files(manifest, files)),
    ]


def describe_scheme(manifest: Manifest) -> str:
    """Put a manifest's scheme into a line, if need be one that a later version wrote."""
    from ..convert.conversion import format_of

    return _described(format_of(manifest).describe, manifest.scheme)


def _described(describe: Callable[[dict[str, Any]], str], fields: dict[str, Any]) -> str:
    try:
        return describe(fields)
    except (TypeError, ValueError):  # fields that this version does not know
        return ", ".join(f"{name} {value}" for name, value in sorted(fields.items()))


def _vision_rows(manifest: Manifest) -> list[tuple[str, str]]:
    from ..convert.conversion import describe_vision

    facts = manifest.vision
    if facts is None:
        return []
    return [("vision", _described(describe_vision, facts.scheme)), ("picture", _picture(facts))]


def _picture(facts: VisionFacts) -> str:
    if facts.image_tokens is None or facts.image_size is None:
        return f"as many tokens of id {facts.placeholder_id} as its size asks for"
    return f"{facts.image_size} × {facts.image_size} pixels, {facts.image_tokens} tokens of id {facts.placeholder_id}"


def _describe_files(manifest: Manifest, files: FileCheck) -> str:
    parts = [f"{len(manifest.outputs)}, all whole"] if files.whole else [f"{len(manifest.outputs)}"]
    for word, names in {"damaged": files.damaged, "missing": files.missing, "not in the manifest": files.extra}.items():
        if names:
            parts.append(f"{word}: {', '.join(names)}")
    return "; ".join(parts)


def show_shares(out: Output, shares: Sequence[Share], first: str) -> None:
    """Print how much of the model is stored how."""
    rows = [
        [share.precision, _group(share.group_size), f"{share.tensors:,}", f"{share.parameters:,}", size(share.bytes)]
        for share in shares
    ]
    out.result("")
    out.table([first, "Group", "Tensors", "Parameters", "Size"], rows, right=(2, 3, 4))


def show_tensors(out: Output, entries: Sequence[TensorEntry]) -> None:
    """Print every tensor; the file too if there are several."""
    several = any(entry.file for entry in entries)
    rows = [
        [
            entry.name,
            "×".join(map(str, entry.shape)),
            entry.precision,
            _group(entry.group_size),
            size(entry.bytes),
            *([entry.file or ""] if several else []),
        ]
        for entry in entries
    ]
    out.result("")
    out.table(["Tensor", "Shape", "Precision", "Group", "Size", *(["File"] if several else [])], rows, right=(1, 4))


def complain(artifact: object, files: FileCheck) -> None:
    """Raise ArtifactError unless all files are whole."""
    from ..core.errors import ArtifactError

    if not files.whole:
        found = [f"{name} is damaged" for name in files.damaged] + [f"{name} is missing" for name in files.missing]
        raise ArtifactError(f"{artifact} is not whole: {', '.join(found)}.", "Convert the checkpoint again.")


def _group(group_size: int | None) -> str:
    if group_size is None:
        return "-"
    return "row" if group_size == -1 else str(group_size)
