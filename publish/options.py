"""What a user may ask of a publication."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from ..core.option import Option, Options


@dataclass(frozen=True, kw_only=True)
class PublishOptions(Options):
    """What a user may ask of a publication; a recipe says the same under `publish`."""

    folder: Annotated[
        Path,
        Option(
            "A converted model: a folder, or a GGUF beside its manifest.", argument=True, metavar="OUT", section="run"
        ),
    ]
    repo: Annotated[
        str,
        Option(
            "Where it goes; made if it is not there.", metavar="ORG/NAME", recipe_help="ORGANIZATION/NAME on the Hub."
        ),
    ]
    private: Annotated[bool, Option("Make a new repository a private one; refuse one that is public.")] = False
    branch: Annotated[
        str | None,
        Option(
            "Push to this branch, made if need be.",
            metavar="NAME",
            recipe_help="Push to this branch; by default the main one.",
        ),
    ] = None
    create_pr: Annotated[bool, Option("Open a pull request instead of pushing.")] = False
    message: Annotated[str | None, Option("The commit's message.")] = None
    replace: Annotated[
        tuple[str, ...],
        Option(
            "Overwrite this file of the repository although this model did not put it there, or take the place of this "
            "target there (openvino-int4). Repeatable.",
            metavar="NAME",
            recipe_help="Files of the repository that may be overwritten although this target did not put them there, and "
            "targets there (openvino-int4) whose place it takes.",
        ),
    ] = ()
    allow_unvalidated: Annotated[
        bool,
        Option(
            "Publish what is not shown to be the same model; its card says so.",
            recipe_help="Publish what parity: false leaves unmeasured; its card says so. What failed is never published.",
        ),
    ] = False
    dry_run: Annotated[
        bool, Option("Say what would be added, replaced and deleted, and send nothing.", section="run")
    ] = False
