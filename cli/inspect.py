"""`edgeconv inspect`: what a converted model was made from, how, and whether it is still whole."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..core.errors import ArtefactError
from .options import Json, Quiet
from .output import Output, size

if TYPE_CHECKING:
    from ..core.manifest import Manifest
    from ..validate.artefact import FileCheck
    from ..validate.histogram import Share

_ROW_ORDERS = {"source": "as in the checkpoint", "rotate_half": "permuted to rotate-half (--rope fused)"}


def inspect(
    folder: Annotated[Path, typer.Argument(metavar="OUT", help="The folder of a converted model.")],
    tensors: Annotated[bool, typer.Option("--tensors", help="List every weight.")] = False,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Show what a converted model holds, and check every file against the manifest's SHA-256.

    Exits with 1 if a file is damaged or missing. Of an IR that has no edgeconv.json it shows what the IR itself says.
    """
    from ..core.manifest import MANIFEST_NAME

    out = Output(json=json, quiet=quiet)
    if not folder.is_dir():
        raise ArtefactError(f"There is no folder {folder}.", "Give the folder of a converted model.")
    if (folder / MANIFEST_NAME).is_file():
        _with_manifest(out, folder, tensors=tensors)
    else:
        _without_manifest(out, folder, tensors=tensors)


def _with_manifest(out: Output, folder: Path, *, tensors: bool) -> None:
    from ..core.manifest import read_manifest
    from ..validate.artefact import check_files
    from ..validate.histogram import of_manifest

    manifest = read_manifest(folder)
    with out.working() as progress:
        files = check_files(folder, manifest, progress)
    shares = of_manifest(manifest.tensors)
    if out.json:
        out.data(_document(manifest, files, shares, tensors=tensors))
    else:
        _show(out, manifest, files, shares)
        if tensors:
            _show_tensors(out, manifest)
    if not files.whole:
        found = [f"{name} is damaged" for name in files.damaged] + [f"{name} is missing" for name in files.missing]
        raise ArtefactError(f"{folder} is not whole: {', '.join(found)}.", "Convert the checkpoint again.")


def _document(manifest: Manifest, files: FileCheck, shares: list[Share], *, tensors: bool) -> dict[str, Any]:
    return {
        "manifest": manifest.model_dump(mode="json", exclude=None if tensors else {"tensors"}),
        "precisions": [asdict(share) for share in shares],
        "files": {**asdict(files), "whole": files.whole},
    }


def _show(out: Output, manifest: Manifest, files: FileCheck, shares: list[Share]) -> None:
    source = manifest.source
    origin = f"{source.repo_id}@{source.commit}" if source.repo_id else "a folder"
    out.pairs(
        [
            ("source", f"{origin} ({source.model_type}, {source.parameters:,} parameters)"),
            ("source size", size(sum(file.size for file in source.files.values()))),
            ("size", size(sum(file.size for file in manifest.outputs.values()))),
            ("bits per weight", f"{manifest.bits_per_weight:.2f}"),
            ("scheme", describe_scheme(manifest)),
            ("engine", f"{manifest.engine}, compressor {manifest.compressor}"),
            *(
                [("rows of q and k", _ROW_ORDERS.get(manifest.row_order, manifest.row_order))]
                if manifest.row_order
                else []
            ),
            *(("assumed", text) for text in manifest.assumed),
            *(("note", text) for text in manifest.notes),
            ("versions", ", ".join(f"{name} {version}" for name, version in sorted(manifest.versions.items()))),
            ("files", _describe_files(manifest, files)),
        ]
    )
    out.result("")
    _show_shares(out, shares, "Precision")


def describe_scheme(manifest: Manifest) -> str:
    """Put a manifest's scheme into a line, if need be one that a later version wrote."""
    from ..quantize.scheme import Scheme

    try:
        return Scheme(**manifest.scheme).describe()
    except (TypeError, ValueError):  # fields that this version does not know
        return ", ".join(f"{name} {value}" for name, value in sorted(manifest.scheme.items()))


def _describe_files(manifest: Manifest, files: FileCheck) -> str:
    parts = [f"{len(manifest.outputs)}, all whole"] if files.whole else [f"{len(manifest.outputs)}"]
    for word, names in {"damaged": files.damaged, "missing": files.missing, "not in the manifest": files.extra}.items():
        if names:
            parts.append(f"{word}: {', '.join(names)}")
    return "; ".join(parts)


def _show_shares(out: Output, shares: list[Share], first: str) -> None:
    rows = [
        [share.precision, _group(share.group_size), f"{share.tensors:,}", f"{share.parameters:,}", size(share.bytes)]
        for share in shares
    ]
    out.table([first, "Group", "Tensors", "Parameters", "Size"], rows, right=(2, 3, 4))


def _show_tensors(out: Output, manifest: Manifest) -> None:
    out.result("")
    rows = [
        [entry.name, "×".join(map(str, entry.shape)), entry.precision, _group(entry.group_size), size(entry.bytes)]
        for entry in manifest.tensors
    ]
    out.table(["Tensor", "Shape", "Precision", "Group", "Size"], rows, right=(1, 4))


def _group(group_size: int | None) -> str:
    if group_size is None:
        return "-"
    return "row" if group_size == -1 else str(group_size)


def _without_manifest(out: Output, folder: Path, *, tensors: bool) -> None:
    from ..validate.histogram import of_ir

    xml = folder / "openvino_model.xml"
    if not xml.is_file():
        raise ArtefactError(
            f"{folder} is not a converted model: it has neither edgeconv.json nor openvino_model.xml.",
            "Give the folder that `edgeconv openvino` wrote.",
        )
    if tensors:
        raise ArtefactError(f"{folder} has no edgeconv.json, which lists the tensors.", "Leave out --tensors.")
    with out.working():
        shares = of_ir(xml)
    total = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    if out.json:
        out.data({"manifest": None, "bytes": total, "element_types": [asdict(share) for share in shares]})
        return
    out.result("There is no edgeconv.json: edgeconv did not write this IR, so its source and its files are unchecked.")
    out.result(f"size: {size(total)}")
    out.result("")
    _show_shares(out, shares, "Constants")
