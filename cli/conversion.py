"""What the commands that convert share: their options, and the way from a job to what is printed."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Protocol

import typer

from ..core.errors import UsageError
from ..quantize import scheme
from . import validate as parity
from .options import choice
from .output import Output, duration, size

if TYPE_CHECKING:
    from ..convert.conversion.artifact import Artifact
    from ..convert.conversion.conflicts import Conflict
    from ..core.progress import Progress

Model = Annotated[
    str,
    typer.Option(
        "--model",
        "-m",
        metavar="ID|DIR|GGUF",
        help="A Hub id, also as ID@REVISION, a checkpoint's folder, or a .gguf.",
    ),
]
Fallback = Annotated[
    str | None,
    typer.Option(
        click_type=choice(scheme.FALLBACKS),
        help="What happens to a row that the group size does not divide: an error, left uncompressed, or a "
        "smaller group.",
    ),
]
Ratio = Annotated[
    float | None,
    typer.Option(metavar="R", help="Share of the weights, 0 to 1, that get the precision; the rest get the backup."),
]
Sym = Annotated[
    bool | None, typer.Option("--sym/--asym", help="Quantize without or with a zero point.", show_default=False)
]
AllLayers = Annotated[
    bool | None, typer.Option("--all-layers", help="Give embeddings and last layer the precision too.")
]
TensorPrecision = Annotated[
    list[str] | None,
    typer.Option(
        metavar="REGEX=P[:GROUP]",
        help="Give weights whose names match int4_sym, int4_asym, int8_sym, int8_asym or none, whatever the rest gets. "
        "Repeatable; the first match decides.",
    ),
]
VisionPrecision = Annotated[
    str | None,
    typer.Option(
        click_type=choice(scheme.VISION_PRECISIONS),
        help="What the weights of a vision encoder become; fp16 if they fit, beside a compressed model, else the model's.",
    ),
]
Revision = Annotated[str | None, typer.Option(help="Branch, tag or commit of the Hub's repository.")]
Folder = Annotated[
    Path | None, typer.Option("--output", "-o", metavar="DIR", help="Where the result goes.", show_default=False)
]
Force = Annotated[bool, typer.Option("--force", help="Replace a converted model that is there already.")]
LocalFilesOnly = Annotated[
    bool, typer.Option("--local-files-only", help="Use what was downloaded before; ask the Hub nothing.")
]
SmokeTest = Annotated[
    bool | None,
    typer.Option(
        "--smoke-test/--no-smoke-test",
        help="Let the runtime that the result is for load it and make one token before it gets its name; by default, unless "
        "EDGECONV_SMOKE_TEST is 0. Left out where the runtime is not installed, or the result too large for the free memory.",
        show_default=False,
    ),
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Print the plan and stop; no weight is read.")]


class Plan(Protocol):
    """What a plan of any format can say."""

    @property
    def conflicts(self) -> list[Conflict]:
        """What a run would stop at."""

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready form."""

    def rows(self) -> list[tuple[str, str]]:
        """Label and value of each line that a person reads."""


def limits(budget: list[str] | None, *, validate: bool) -> dict[str, float] | None:
    """Read --budget, before the conversion: a wrong one must not cost an hour. None: nothing is to be validated.

    Raises:
        UsageError: a limit is none, or given without --validate.
    """
    found = parity.limits(budget)
    if found and not validate:
        raise UsageError("--budget is a limit of the validation.", "Add --validate.")
    return found if validate else None


def show_plan(out: Output, plan: Callable[[Progress], Plan]) -> None:
    """Print the plan on stdout: it is what `--dry-run` was asked for; end as a run would that stops at a conflict."""
    from ..convert.conversion.conflicts import exit_code

    with out.working() as progress:
        made = plan(progress)
    if out.json:
        out.data(made.as_dict())
    else:
        out.pairs(made.rows())
    if made.conflicts:
        raise typer.Exit(exit_code(made.conflicts))


def carry_out(
    out: Output,
    run: Callable[[Progress], Artifact],
    budgets: dict[str, float] | None,
    *,
    more: Callable[[Artifact], dict[str, Any]],
    rows: Callable[[Artifact], list[tuple[str, str]]] | None = None,
) -> None:
    """Convert, validate within `budgets` (None: do not), and say what became of it; exit with 3 if it is not the model.

    Args:
        out: where to.
        run: the pipeline of a format.
        budgets: limits of the validation.
        more: what `--json` answers of this format, beside `summary`.
        rows: what a person reads of it between size and time; None: scheme and engine.
    """
    with out.working() as progress:
        artifact = run(progress)
    found = None if budgets is None else parity.of_new(out, artifact.path, budgets)
    if out.json:
        out.data(summary(artifact) | more(artifact) | (parity.brief(found, artifact.path) if found else {}))
    else:
        if not out.quiet:
            out.pairs(_rows(artifact, (rows or scheme_rows)(artifact)), stream=sys.stderr)
            if found:
                parity.show(out, found, parity.report_of(artifact.path), sys.stderr)
        out.result(str(artifact.path))
    if found and found.verdict != "passed":
        raise typer.Exit(parity.exit_code(found))


def summary(artifact: Artifact) -> dict[str, Any]:
    """What `--json` answers after a conversion to any format; the per-tensor table stays in the manifest."""
    manifest = artifact.manifest
    return {
        "output": str(artifact.path),
        "source_bytes": sum(file.size for file in manifest.source.files.values()),
        "output_bytes": sum(file.size for file in manifest.outputs.values()),
        "bits_per_weight": manifest.bits_per_weight,
        "scheme": manifest.scheme,
        "engine": manifest.engine,
        "compressor": manifest.compressor,
        "seconds": round(artifact.seconds, 3),
        "smoke_test": artifact.smoke.as_dict() if artifact.smoke else None,
        "plan": artifact.plan.as_dict(),
    }


def vision_scheme(artifact: Artifact) -> dict[str, Any] | None:
    """Return the scheme of the tower; None for a text model."""
    vision = artifact.manifest.vision
    return vision.scheme if vision else None


def scheme_rows(artifact: Artifact) -> list[tuple[str, str]]:
    """Say in NNCF's terms what the weights became, and who did it."""
    from ..convert.conversion.formats import describe_vision, format_of

    manifest, vision = artifact.manifest, vision_scheme(artifact)
    return [
        ("scheme", format_of(manifest).describe(manifest.scheme)),
        *([("vision", describe_vision(vision))] if vision else []),
        ("engine", f"{manifest.engine}, compressor {manifest.compressor}"),
    ]


def _rows(artifact: Artifact, middle: list[tuple[str, str]]) -> list[tuple[str, str]]:
    facts = summary(artifact)
    share = facts["output_bytes"] / max(facts["source_bytes"], 1)
    return [
        ("size", f"{size(facts['source_bytes'])} → {size(facts['output_bytes'])} ({share:.0%})"),
        ("bits per weight", f"{artifact.manifest.bits_per_weight:.2f}"),
        *middle,
        ("time", duration(artifact.seconds)),
        *([("smoke test", artifact.smoke.describe())] if artifact.smoke else []),
    ]
