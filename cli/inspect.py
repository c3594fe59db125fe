"""`edgeconv inspect`: what a converted model was made from, how, and whether it is still whole."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Protocol

import typer

from ..core.errors import ArtifactError
from ..core.paths import join_hint
from . import inspect_gguf
from .inspect_parts import complain, manifest_rows, show_shares, show_tensors
from .options import Json, Quiet
from .output import Output, size

if TYPE_CHECKING:
    from ..core.manifest import Manifest
    from ..validate.artifact import FileCheck
    from ..validate.histogram import Share


def inspect(
    artifact: Annotated[
        Path,
        typer.Argument(metavar="OUT", help="The folder of a converted model, or a GGUF file of any tool's making."),
    ],
    tensors: Annotated[bool, typer.Option("--tensors", help="List every weight.")] = False,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Show what a converted model holds, and check every file against the manifest's SHA-256.

    Exits with 1 if a file is damaged or missing. Of an IR, a GGUF or an ONNX model without edgeconv.json it shows what the file
    itself says; of a GGUF also what in it looks wrong: a context length that is none, no end token, no chat template, an unknown
    splitting.
    """
    from ..convert.conversion import FORMATS, format_of, recognize
    from ..core.manifest import manifest_of

    out = Output(json=json, quiet=quiet)
    if artifact.is_file():
        if not inspect_gguf.is_gguf(artifact):
            raise ArtifactError(
                f"{artifact} is not a GGUF file.",
                join_hint(artifact) or "Give the folder of a converted model, or a GGUF file.",
            )
        inspect_gguf.show_file(out, artifact, tensors=tensors)
        return
    if not artifact.is_dir():
        raise ArtifactError(f"There is no folder {artifact}.", "Give the folder of a converted model, or a GGUF file.")
    manifest = manifest_of(artifact)
    form = format_of(manifest) if manifest else recognize(artifact)
    if form is None:
        *names, last = FORMATS
        raise ArtifactError(
            f"{artifact} is not a converted model: it has neither edgeconv.json nor openvino_model.xml, model.onnx or a "
            "GGUF file.",
            f"Give the folder that `edgeconv {'`, `'.join(names)}` or `{last}` wrote.",
        )
    SHOWN[form.name](out, artifact, manifest, tensors=tensors)


class Show(Protocol):
    """Prints what a folder holds, checked if there is a manifest; raises ArtifactError for what is not whole."""

    def __call__(self, out: Output, folder: Path, manifest: Manifest | None, *, tensors: bool) -> None:
        """Print."""


def _openvino(out: Output, folder: Path, manifest: Manifest | None, *, tensors: bool) -> None:
    from ..runtimes import irs
    from ..validate.histogram import of_ir

    if manifest:
        _with_manifest(out, folder, manifest, tensors=tensors)
        return
    graph = folder / irs.names(folder)[0]
    _without_manifest(out, folder, "IR", partial(of_ir, graph), tensors=tensors, stateful=irs.stateful(graph))


def _onnx(out: Output, folder: Path, manifest: Manifest | None, *, tensors: bool) -> None:
    from ..validate.histogram import of_onnx

    if manifest:
        _with_manifest(out, folder, manifest, tensors=tensors)
    else:
        _without_manifest(out, folder, "model", partial(of_onnx, folder), tensors=tensors)


def _with_manifest(out: Output, folder: Path, manifest: Manifest, *, tensors: bool) -> None:
    from ..validate.artifact import check_files
    from ..validate.histogram import of_manifest

    with out.working() as progress:
        files = check_files(folder, manifest, progress)
    shares = of_manifest(manifest.tensors)
    if out.json:
        out.data(_document(manifest, files, shares, tensors=tensors))
    else:
        out.pairs(manifest_rows(manifest, files))
        show_shares(out, shares, "Precision")
        if tensors:
            show_tensors(out, manifest.tensors)
    complain(folder, files)


def _document(manifest: Manifest, files: FileCheck, shares: list[Share], *, tensors: bool) -> dict[str, Any]:
    return {
        "manifest": manifest.model_dump(mode="json", exclude=None if tensors else {"tensors"}),
        "precisions": [asdict(share) for share in shares],
        "files": {**asdict(files), "whole": files.whole},
    }


def _without_manifest(
    out: Output,
    folder: Path,
    what: str,
    read: Callable[[], list[Share]],
    *,
    tensors: bool,
    stateful: bool | None = None,
) -> None:
    """Show what the graphs themselves say; `stateful`: whether they keep a cache, where that is asked."""
    if tensors:
        raise ArtifactError(f"{folder} has no edgeconv.json, which lists the tensors.", "Leave out --tensors.")
    with out.working():
        shares = read()
    total = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    if out.json:
        state = {} if stateful is None else {"stateful": stateful}
        out.data({"manifest": None, "bytes": total, **state, "element_types": [asdict(share) for share in shares]})
        return
    out.result(
        f"There is no edgeconv.json: edgeconv did not write this {what}, so its source and its files are unchecked."
    )
    out.result(f"size: {size(total)}")
    if stateful is False:
        out.result("The graph has no state: chat, bench and validate need one exported for text-generation-with-past.")
    show_shares(out, shares, "Constants")


SHOWN: Mapping[str, Show] = {"openvino": _openvino, "gguf": inspect_gguf.show_folder, "onnx": _onnx}
"""By the name of the format."""
