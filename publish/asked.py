"""What a user asks of a publication, and whether it can be meant at all."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ..core.errors import UsageError
from ..core.option import into
from ..hub.source import is_repo_id, is_revision
from .options import PublishOptions

PLACEHOLDER = "your-name"
"""The namespace in the recipes that come with edgeconv, and in the one that `edgeconv recipes init` writes."""


@dataclass(frozen=True)
class Publication:
    """What a user asks for; fields as `hub.upload.Upload`'s.

    `replace` names files in the repository that may be overwritten although this target did not put them there, and targets
    ("openvino-int4") whose place is taken.
    """

    folder: Path
    repo_id: str
    private: bool = False
    branch: str | None = None
    create_pr: bool = False
    allow_unvalidated: bool = False
    message: str | None = None
    replace: tuple[str, ...] = ()

    @classmethod
    def of(cls, asked: PublishOptions) -> Publication:
        """Make one of the options of `edgeconv publish`."""
        return cls(repo_id=asked.repo, **into(asked, cls))

    def check(self) -> None:
        """Look at the names alone. Raises UsageError."""
        if not is_repo_id(self.repo_id) or "/" not in self.repo_id:
            raise UsageError(f"{self.repo_id!r} is not a repository's name.", "Write --repo ORGANIZATION/NAME.")
        if self.repo_id.partition("/")[0].lower() == PLACEHOLDER:
            raise UsageError(
                f"{self.repo_id} is a placeholder: {PLACEHOLDER} stands for your name on the Hub.",
                "Write your user's or organization's name in its place.",
            )
        if self.branch is not None and not is_revision(self.branch):
            raise UsageError(f"{self.branch!r} cannot be a branch.", "Use letters, digits, dots and hyphens.")
        if self.branch is not None and self.create_pr:
            raise UsageError(
                "--create-pr opens a pull request to main; it does not go with --branch.", "Leave one out."
            )
