"""The one exception family of edgeconv.

Every error that a user can cause or meet carries a sentence that says what is wrong, a hint that says what to do next,
and the exit code of the process. `cli.main` is the only place that shows them.
"""

from enum import IntEnum


class ExitCode(IntEnum):
    """What the process answers; documented in docs/cli.md."""

    OK = 0
    FAULT = 1
    USAGE = 2
    PARITY = 3
    ACCESS = 4
    UNREACHABLE = 5
    INTERRUPTED = 130
    TERMINATED = 143


class EdgeconvError(Exception):
    """Base of all errors shown to a user: one sentence, a hint, an exit code."""

    exit_code = ExitCode.FAULT

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class UsageError(EdgeconvError):
    """An option, or a combination of options, that cannot work."""

    exit_code = ExitCode.USAGE


class CheckpointError(EdgeconvError):
    """The source is damaged, incomplete, hostile or of a kind that we do not know."""


class ConversionError(EdgeconvError):
    """The checkpoint is sound, but its conversion failed."""


class ArtefactError(EdgeconvError):
    """A folder that should be a converted model is not a whole one."""


class OutputError(EdgeconvError):
    """The result cannot be written: it exists, the disk is full, the folder is read-only."""


class AccessError(EdgeconvError):
    """The Hub says no: an absent or gated repository, a bad token, an absent revision."""

    exit_code = ExitCode.ACCESS


class HubUnreachableError(EdgeconvError):
    """The Hub does not answer, or not with what it promised."""

    exit_code = ExitCode.UNREACHABLE


class ParityError(EdgeconvError):
    """The artefact is not the same model within its budget."""

    exit_code = ExitCode.PARITY
