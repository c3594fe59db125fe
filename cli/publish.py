"""`edgeconv publish`, `edgeconv verify` and `edgeconv diff`: an artifact on the Hub."""

from __future__ import annotations

from dataclasses import asdict
from json import dumps
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..core.errors import ArtifactError
from ..publish.options import PublishOptions
from .declared import takes
from .options import Json, Quiet, Verbose
from .output import Output, size

if TYPE_CHECKING:
    from ..hub.upload import Change
    from ..publish.verify import Verified


@takes(PublishOptions)
def publish(asked: PublishOptions, out: Output) -> None:
    """Publish a converted model on the Hub, if a parity report on exactly these files passed.

    One commit with the files, the manifest, the report and a model card; what is there already is not sent again, and if
    nothing differs there is no commit. The token is HF_TOKEN or the one that `hf auth login` stored.
    """
    from ..publish import publish as publishing

    if asked.allow_unvalidated:
        out.say("warning: --allow-unvalidated: nobody has shown that this is still the same model")
    wanted = publishing.Publication.of(asked)
    result: dict[str, str | None] = {"commit": None, "url": None}
    with out.working() as progress:
        if asked.dry_run:
            change = publishing.plan(wanted, progress).change
        else:
            done = publishing.publish(wanted, progress)
            change, result = done.change, {"commit": done.commit, "url": done.url}
    if out.json:
        out.data({"repo": asked.repo, **result, "dry_run": asked.dry_run, "change": change.as_dict()})
        return
    rows = _rows(change, private=asked.private, dry_run=asked.dry_run)
    if asked.dry_run:
        out.pairs(rows)
    else:
        out.say()
        for label, text in rows:
            out.say(f"{label}: {text}" if label else f"  {text}")
        out.result(str(result["url"]))


def _rows(change: Change, *, private: bool, dry_run: bool) -> list[tuple[str, str]]:
    """What the commit does, file by file where it is a plan; replacements and deletions by name in any case."""
    rows = []
    if change.new_repository:
        rows.append(("would make" if dry_run else "made", f"the repository, {'private' if private else 'public'}"))
    if change.new_branch:
        rows.append(("would make" if dry_run else "made", "the branch"))
    verb = "would send" if dry_run else "sent"
    files = f"{len(change.sent)} files, {size(change.bytes)}" if change.sent else "nothing: all is there"
    rows.append((verb, files))
    rows += [("would add", name) for name in change.added] if dry_run else []
    rows += [("would replace" if dry_run else "replaced", name) for name in change.replaced]
    return rows + [("would delete" if dry_run else "deleted", name) for name in change.deleted]


def verify(
    where: Annotated[str, typer.Argument(metavar="OUT|ID", help="A folder, a GGUF, or a Hub id, also as ID@REVISION.")],
    *,
    json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Check a converted model, here or on the Hub, against its manifest: every file's size and SHA-256, and the report's seal.

    Exits with 1 if a file is damaged or missing, or its report was edited or is about other files. The seal is a checksum, and
    no signature.
    """
    from ..publish.verify import verify as check

    out = Output(json=json, quiet=quiet, verbose=verbose)
    with out.working() as progress:
        found = check(where, None, progress)
    if out.json:
        lists = {"damaged": found.damaged, "missing": found.missing, "extra": found.extra, "reports": found.reports}
        out.data({"name": found.name, "commit": found.commit, "whole": found.whole, **lists})
    else:
        at = f" @ {found.commit[:12]}" if found.commit else ""
        rows = [("artifact", f"{found.name}{at}"), ("files", f"{found.files}, {_state(found)}")]
        rows += [("report", f"{name}: {_REPORT[state]}") for name, state in found.reports.items()]
        out.pairs(rows + [("not in the manifest", name) for name in found.extra])
    if not found.whole:
        raise ArtifactError(
            f"{found.name} is not what its manifest says: {', '.join([*found.damaged, *found.missing, *found.wrong_reports])}.",
            "Do not use it; publish or convert it again.",
        )


_REPORT = {
    "sealed": "as it was written",
    "unsealed": "has no seal: an earlier version wrote it, or it was edited",
    "edited": "edited after it was written",
    "about other files": "about other files",
    "unreadable": "cannot be read",
}


def _state(found: Verified) -> str:
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
