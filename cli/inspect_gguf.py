"""`edgeconv inspect` of a GGUF: edgeconv's own with its manifest, or any."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..core.errors import ArtifactError
from .inspect_parts import complain, manifest_rows, show_shares, show_tensors
from .output import Output, paint, size

if TYPE_CHECKING:
    from ..convert.gguf.read import GgufFile
    from ..core.manifest import Manifest
    from ..validate.artifact import FileCheck


def found(folder: Path) -> list[Path]:
    """Return the models in a folder, each by its first part."""
    from ..convert.gguf.read import parts

    return sorted(path for path in folder.glob("*.gguf") if parts(path)[0] == path)


def is_gguf(path: Path) -> bool:
    """Whether a file is called a GGUF or begins as one."""
    with path.open("rb") as file:
        return path.suffix == ".gguf" or file.read(4) == b"GGUF"


def show_folder(out: Output, folder: Path, manifest: Manifest | None, *, tensors: bool) -> None:
    """Show all models of a folder, checked if there is a manifest."""
    from ..validate.artifact import check_files

    files, models = None, found(folder)
    if not models and not manifest:
        raise ArtifactError(f"{folder} lacks the first part of a GGUF.", "All parts lie in one folder.")
    if manifest:
        with out.working() as progress:
            files = check_files(folder, manifest, progress)
    _show(out, folder, models, manifest, files, tensors=tensors)


def show_file(out: Output, path: Path, *, tensors: bool) -> None:
    """Show one model, checked if it has a manifest."""
    from ..core.manifest import manifest_path, read_manifest
    from ..core.outputs import check_outputs
    from ..validate.artifact import FileCheck

    where = manifest_path(path)
    manifest = read_manifest(where) if where else None
    files = None
    if manifest:
        with out.working() as progress:
            checked = check_outputs(path.parent, manifest.outputs, progress)
        files = FileCheck(checked.damaged, checked.missing, ())
    _show(out, path, [path], manifest, files, tensors=tensors)


def _show(
    out: Output, artifact: Path, paths: list[Path], manifest: Manifest | None, files: FileCheck | None, *, tensors: bool
) -> None:
    from ..convert.gguf.read import open_gguf

    whole = files is None or files.whole
    opened = [open_gguf(path) for path in paths] if whole else []
    if out.json:
        out.data(
            {
                "manifest": manifest.model_dump(mode="json", exclude={"tensors"}) if manifest else None,
                "files": {**asdict(files), "whole": files.whole} if files else None,
                "models": [_document(file, tensors=tensors) for file in opened],
            }
        )
    else:
        if manifest and files:
            out.pairs(manifest_rows(manifest, files))
        else:
            out.result("There is no edgeconv.json: what this was made from is not known, and its files are unchecked.")
        for file in opened:
            _show_model(out, file, tensors=tensors)
    if files:
        complain(artifact, files)


def _document(file: GgufFile, *, tensors: bool) -> dict[str, Any]:
    from ..convert.gguf import examine
    from ..validate.histogram import of_manifest

    examined, entries = examine.examine(file), examine.entries(file)
    document = {
        "file": file.path.name,
        "parts": [path.name for path in file.files],
        "bytes": file.size,
        "parameters": examine.parameters(file),
        "bits_per_weight": round(examine.bits_per_weight(file), 4),
        "facts": examined.facts,
        "warnings": examined.warnings,
        "precisions": [asdict(share) for share in of_manifest(entries)],
    }
    return document | ({"tensors": [entry.model_dump() for entry in entries]} if tensors else {})


def _show_model(out: Output, file: GgufFile, *, tensors: bool) -> None:
    from ..convert.gguf import examine
    from ..validate.histogram import of_manifest

    examined, entries = examine.examine(file), examine.entries(file)
    out.result("")
    out.pairs(
        [
            ("file", f"{file.path.name}, GGUF version {file.version}, {size(file.size)}"),
            ("parameters", f"{examine.parameters(file):,} in {len(entries):,} tensors"),
            ("bits per weight", f"{examine.bits_per_weight(file):.2f}"),
            *examined.rows(),
        ]
    )
    show_shares(out, of_manifest(entries), "Type")
    if tensors:
        show_tensors(out, entries)
    if examined.warnings:
        out.result("")
    for warning in examined.warnings:
        out.result(f"{paint('warning:', '1;33', sys.stdout)} {warning}")
