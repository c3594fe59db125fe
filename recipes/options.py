"""What a user may ask of a run of recipes."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from ..convert.options import shared
from ..core.option import Option, Options

Files = Annotated[
    Path | None,
    Option("Folder that a recipe's files (suite, calibration, imatrix) lie in, instead of its own.", metavar="DIR"),
]


@dataclass(frozen=True, kw_only=True)
class RunOptions(Options):
    """What a user may ask of a run of recipes."""

    recipe: Annotated[
        tuple[str, ...],
        Option("Files, or names that `edgeconv recipes ls` shows.", argument=True, metavar="RECIPE…"),
    ]
    only: Annotated[tuple[str, ...], Option("Only this target. Repeatable.", metavar="TARGET")] = ()
    model: Annotated[str | None, Option("In the place of the recipe's source.", short="-m", metavar="ID|DIR")] = None
    output: Annotated[Path, Option("Folder of all results.", short="-o", metavar="DIR")] = Path()
    publish: Annotated[bool, Option("Publish each target whose parity passed, where the recipe says.")] = False
    trust_remote_code: Annotated[bool, Option("Let a recipe that asks for it run Python code of its checkpoint.")] = (
        False
    )
    allow_unvalidated: Annotated[
        bool, Option("With --publish: let a recipe that asks for it publish what is not measured.")
    ] = False
    files: Files = None
    local_files_only: shared.LocalFilesOnly = False
    dry_run: Annotated[
        bool,
        Option(
            "Print what would be done, fetched and written, the memory it takes, and every conflict; no weight is read. "
            "Exits as the first conflict would."
        ),
    ] = False
