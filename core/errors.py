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
    UNDECIDED = 6
    INTERRUPTED = 130
    TERMINATED = 143


class EdgeconvError(Exception):
    """Base of all errors shown to a user: one sentence, a hint, an exit code."""

    exit_code = ExitCode.FAULT
    usual_hint: str | None = None
    """What to do next where the place that raises the error knows nothing better."""

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint or self.usual_hint


class UsageError(EdgeconvError):
    """An option, or a combination of options, that cannot work."""

    exit_code = ExitCode.USAGE
    usual_hint = "`edgeconv COMMAND --help` says what each option takes."


class CheckpointError(EdgeconvError):
    """The source is damaged, incomplete, hostile or of a kind that we do not know."""

    usual_hint = "Download the checkpoint again; if it stays so, take another revision or another model."


class ConversionError(EdgeconvError):
    """The checkpoint is sound, but its conversion failed."""

    usual_hint = "Try another --engine, or another format; -v shows what the libraries under it say."


class ArtifactError(EdgeconvError):
    """A folder that should be a converted model is not a whole one."""

    usual_hint = "Convert the checkpoint again."


class OutputError(EdgeconvError):
    """The result cannot be written: it exists, the disk is full, the folder is read-only."""

    usual_hint = "Choose another --output."


class AccessError(EdgeconvError):
    """The Hub says no: an absent or gated repository, a bad token, an absent revision."""

    exit_code = ExitCode.ACCESS
    usual_hint = "Check the name, and your token (`hf auth login`)."


class HubUnreachableError(EdgeconvError):
    """The Hub does not answer, or not with what it promised."""

    exit_code = ExitCode.UNREACHABLE
    usual_hint = "Try again later: finished files are kept."


class ParityError(EdgeconvError):
    """The artifact is not the same model within its budget."""

    exit_code = ExitCode.PARITY
    usual_hint = "`edgeconv validate` shows what differs."
