"""`edgeconv publish`, `edgeconv verify` and `edgeconv diff`: an artefact on the Hub."""

from __future__ import annotations

from dataclasses import asdict
from json import dumps
from pathlib import Path
from typing import Annotated, Any

import typer

from ..core.errors import ArtefactError
from .options import Json, Quiet, Verbose
from .output import Output, size


def publish(
    folder: Annotated[
        Path,
        typer.Argument(metavar="OUT", help="A converted model: a folder, or a GGUF beside its manifest."),
    ],
    *,
    repo: Annotated[str, typer.Option("--repo", metavar="ORG/NAME", help="Where it goes; made if it is not there.")],
    private: Annotated[bool, typer.Option("--private", help="Make a new repository a private one.")] = False,
    branch: Annotated[
        str | None, typer.Option(metavar="NAME", help="Push to this branch, made if need be.", show_default=False)
    ] = None,
    create_pr: Annotated[bool, typer.Option("--create-pr", help="Open a pull request instead of pushing.")] = False,
    message: Annotated[str | None, typer.Option(help="The commit's message.", show_default=False)] = None,
    allow_unvalidated: Annotated[
        bool,
        typer.Option("--allow-unvalidated", help="Publish what is not shown to be the same model; its card says so."),
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be sent, and send nothing.")] = False,
    json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Publish a converted model on the Hub, if a parity report on exactly these files passed.

    One commit with the files, the manifest, the report and a model card; what is there already is not sent again, and if
    nothing differs there is no commit. The token is HF_TOKEN or the one that `hf auth login` stored.
    """
    from ..publish import publish as publishing

    out = Output(json=json, quiet=quiet, verbose=verbose)
    asked = publishing.Publication(
        folder=folder,
        repo_id=repo,
        private=private,
        branch=branch,
        create_pr=create_pr,
        allow_unvalidated=allow_unvalidated,
        message=message,
    )
    if allow_unvalidated:
        out.say("warning: --allow-unvalidated: nobody has shown that this is still the same model")
    result: dict[str, str | None] = {"commit": None, "url": None}
    with out.working() as progress:
        if dry_run:
            planned = publishing.plan(asked, progress)
            change = planned.change
        else:
            done = publishing.publish(asked, progress)
            change, result = done.change, {"commit": done.commit, "url": done.url}
    if out.json:
        out.data({"repo": repo, **result, "dry_run": dry_run, "change": asdict(change)})
        return
    verb = "would send" if dry_run else "sent"
    rows = (
        [(verb, f"{len(change.sent)} files, {size(change.bytes)}")]
        if change.sent
        else [(verb, "nothing: all is there")]
    )
    rows += [("", name) for name in change.sent] if dry_run else []
    rows += [("would delete" if dry_run else "deleted", name) for name in change.deleted]
    if dry_run:
        out.pairs(rows)
    else:
        out.say()
        for label, text in rows:
            out.say(f"{label}: {text}" if label else f"  {text}")
        out.result(str(result["url"]))


def verify(
    where: Annotated[str, typer.Argument(metavar="OUT|ID", help="A folder, a GGUF, or a Hub id, also as ID@REVISION.")],
    *,
    json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Check a converted model, here or on the Hub, against its manifest: every file's size and SHA-256.

    Exits with 1 if a file is damaged or missing.
    """
    from ..publish.verify import verify as check

    out = Output(json=json, quiet=quiet, verbose=verbose)
    with out.working() as progress:
        found = check(where, None, progress)
    if out.json:
        lists = {"damaged": found.damaged, "missing": found.missing, "extra": found.extra}
        out.data({"name": found.name, "commit": found.commit, "whole": found.whole, **lists})
    else:
        at = f" @ {found.commit[:12]}" if found.commit else ""
        rows = [("artefact", f"{found.name}{at}"), ("files", f"{len(found.manifest.outputs)}, {_state(found)}")]
        out.pairs(rows + [("not in the manifest", name) for name in found.extra])
    if not found.whole:
        raise ArtefactError(
            f"{found.name} is not what its manifest says: {', '.join([*found.damaged, *found.missing])}.",
            "Do not use it; publish or convert it again.",
        )


def _state(found: Any) -> str:
    return "all as the manifest says" if found.whole else f"{len(found.damaged)} damaged, {len(found.missing)} missing"


def diff(
    first: Annotated[str, typer.Argument(metavar="A", help="A folder, a GGUF, or a Hub id, also as ID@REVISION.")],
    second: Annotated[str, typer.Argument(metavar="B", help="The same.")],
    *,
    tensors: Annotated[bool, typer.Option("--tensors", help="List the tensors that are stored otherwise.")] = False,
    json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Show two converted models side by side: source, scheme, sizes, parity."""
    from ..publish.diff import compare, load

    out = Output(json=json, quiet=quiet, verbose=verbose)
    with out.working() as progress:
        found = compare(load(first, progress), load(second, progress))
    if out.json:
        out.data({"same": found.same, **asdict(found)})
        return
    rows = [[label, _cell(label, a), _cell(label, b), "" if a == b else "≠"] for label, a, b in found.rows]
    out.table(["", first, second, ""], rows)
    out.result("")
    stored = f"{len(found.tensors)} tensors are stored otherwise"
    if found.formats:
        stored = "tensors have other names in another format, so that none are compared"
    out.result(f"{len(found.files)} files differ, {stored}.")
    if tensors and found.tensors:
        out.table(["Tensor", first, second], [list(row) for row in found.tensors])


def _cell(label: str, value: Any) -> str:
    if value is None:
        return "-"
    if label == "bytes":
        return size(value)
    if isinstance(value, bool | str):
        return str(value)
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:.5g}" if isinstance(value, float) else dumps(value, sort_keys=True)
