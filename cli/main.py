"""The entry point, and the ONE place where errors become words and an exit code."""

from __future__ import annotations

import atexit
import contextlib
import errno
import json
import os
import re
import signal
import sys
import traceback
from types import FrameType
from typing import NoReturn

import click

from ..core import escape, watchdog
from ..core.errors import EdgeconvError, ExitCode
from ..core.lifetime import handle, hurried
from ..core.redact import redact
from .output import paint

_OUT_OF_MEMORY = (
    "bad_alloc",
    "can't allocate memory",
    "cannot allocate memory",
    "not enough memory",
    "start new thread",
    "failed to map segment",
    "memory allocation of",
)
_LITTLE = 16 << 20
"""Bytes that any step of this program needs."""
_UTF8 = "PYTHONUTF8"
_received: list[int] = []
"""Signals that end the program."""
_AGAIN = "Repeat with -v for the traceback."


class Terminated(BaseException):
    """SIGTERM or SIGHUP arrived. A BaseException, so that only `finally` blocks see it on its way out."""


def main() -> NoReturn:
    """Run `edgeconv` with the process's arguments and exit."""
    _speak_utf8()
    _open_streams()
    watchdog.start()
    code = run(sys.argv[1:])
    for number in (
        signal.SIGINT,
        signal.SIGTERM,
        signal.SIGHUP,
    ):  # as the interpreter ends, nobody catches what ours raise
        if callable(signal.getsignal(number)):
            signal.signal(number, signal.SIG_DFL)
    if hurried() or code in (ExitCode.INTERRUPTED, ExitCode.TERMINATED):
        watchdog.ending(watchdog.CLEANING)
        if not hurried():
            atexit._run_exitfuncs()  # what libraries clean up; to take their modules apart and to wait for threads takes long
        with contextlib.suppress(OSError):  # whoever read it may have left
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)
    sys.exit(code)


def _speak_utf8() -> None:
    """Begin again in Python's UTF-8 mode where a locale has another encoding: the libraries underneath take paths as UTF-8."""
    if sys.getfilesystemencoding() != "utf-8" and os.environ.get(_UTF8) != "1":
        os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], {**os.environ, _UTF8: "1"})


def _open_streams() -> None:
    """Give the process those of its three streams that it was started without: the next file would take the number of one.

    What a library writes to stdout would then be written into that file.
    """
    for number, (name, mode) in enumerate((("stdin", "r"), ("stdout", "w"), ("stderr", "w"))):
        if getattr(sys, name) is None:
            descriptor = os.open(os.devnull, os.O_RDWR)
            if descriptor != number:
                os.dup2(descriptor, number)
                os.close(descriptor)
            setattr(sys, name, os.fdopen(number, mode, encoding="utf-8"))


def run(arguments: list[str]) -> int:
    """Run one command line and return its exit code; every error is shown here and nowhere else."""
    _listen()
    code: int
    try:
        code = _invoke(arguments)
        sys.stdout.flush()
    except Terminated:
        code = _fail(arguments, ExitCode.TERMINATED, "Terminated.", None)
    except KeyboardInterrupt:
        code = ExitCode.INTERRUPTED
    except BrokenPipeError:
        code = _reader_left()
    except click.ClickException as error:
        code = _usage(arguments, error)
    except BaseException as error:  # noqa: BLE001 - the boundary; a panic of Rust is not an Exception
        if _received:  # a library may wrap whatever meets it: pydantic does while it builds a model
            code = _fail(arguments, ExitCode.TERMINATED, "Terminated.", None)
        elif _is_interrupt(error):
            code = ExitCode.INTERRUPTED
        else:
            code = _fail(arguments, *_explain(error), error)
    if code == ExitCode.INTERRUPTED:  # click may turn KeyboardInterrupt into this code
        _fail(arguments, ExitCode.INTERRUPTED, "Interrupted.", None)
    return code


def _invoke(arguments: list[str]) -> int:
    import typer.main

    from .app import app

    try:
        result = typer.main.get_command(app).main(args=arguments, prog_name="edgeconv", standalone_mode=False)
    except SystemExit as stop:
        if isinstance(stop.__context__, BrokenPipeError):  # click answers a closed pipe by sys.exit(1)
            return _reader_left()
        return stop.code if isinstance(stop.code, int) else ExitCode.FAULT
    except click.Abort as error:
        raise KeyboardInterrupt from error
    return result if isinstance(result, int) else ExitCode.OK


def _listen() -> None:
    """Let SIGTERM and SIGHUP unwind the stack, so that staging folders are removed."""
    owner = os.getpid()
    _received.clear()

    def terminate(number: int, frame: FrameType | None) -> None:
        if os.getpid() != owner:  # a forked worker inherits the handler, but owns nothing that needs cleaning
            os._exit(ExitCode.TERMINATED)
        for name in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(name, signal.SIG_IGN)  # a second one must not interrupt the cleaning
        _received.append(number)
        watchdog.ending(watchdog.CLEANING)
        raise Terminated

    handle(signal.SIGTERM, terminate)
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # nohup
        handle(signal.SIGHUP, terminate)
    interrupt = signal.getsignal(signal.SIGINT)
    if callable(interrupt):  # a shell's background job ignores it
        handle(signal.SIGINT, interrupt)


def _is_interrupt(error: BaseException | None) -> bool:
    """Whether an error is what a library has made of a KeyboardInterrupt."""
    while error is not None:
        if isinstance(error, KeyboardInterrupt) or KeyboardInterrupt.__name__ in str(error):
            return True
        error = error.__cause__ or error.__context__
    return False


def _usage(arguments: list[str], error: click.ClickException) -> int:
    context = error.ctx if isinstance(error, click.UsageError) else None
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        sys.stderr.write(error.format_message() + "\n")
        return ExitCode.USAGE
    command = context.command_path if context else "edgeconv"
    return _fail(arguments, ExitCode.USAGE, error.format_message(), f"`{command} --help` lists what it takes.")


def _explain(error: BaseException) -> tuple[ExitCode, str, str | None]:
    """Return the exit code, the sentence and the hint for an error."""
    if isinstance(error, EdgeconvError):
        return error.exit_code, error.message, error.hint
    text = str(error).strip()
    if isinstance(error, MemoryError) or any(sign in text.lower() for sign in _OUT_OF_MEMORY) or _no_memory_left():
        hint = "Close other programs, use a machine with more, or try --engine stream, which needs least."
        return ExitCode.FAULT, "There is not enough memory.", hint
    if isinstance(error, OSError) and error.errno in (errno.EMFILE, errno.ENFILE):
        hint = "Each shard of a checkpoint needs one: allow more with `ulimit -n 4096`."
        return ExitCode.FAULT, "Too many open files.", hint
    if isinstance(error, OSError) and error.strerror:
        where = f"{error.filename}: " if error.filename else ""
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        return ExitCode.FAULT, f"{where}{error.strerror}.", "Free some space." if full else _AGAIN
    first_line = text.splitlines()[0] if text else "no message"
    hint = f"This is a fault of edgeconv or of a library under it. {_AGAIN}"
    return ExitCode.FAULT, f"Unexpected {type(error).__name__}: {first_line}", hint


def _no_memory_left() -> bool:
    """Tell whether a little memory cannot be had: then errors are of any kind (a compiler's ValueError, a bare SystemError)."""
    try:
        bytearray(_LITTLE)
    except MemoryError:
        return True
    return False


def _reader_left() -> int:
    """Whoever read our stdout has closed it, as `head` does: nothing to say, and nobody to say it to."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # the interpreter flushes stdout once more as it ends
    return ExitCode.FAULT


def _fail(
    arguments: list[str], code: ExitCode, message: str, hint: str | None, error: BaseException | None = None
) -> int:
    """Show an error on stderr, as text or, with `--json`, as one JSON object."""
    if error is not None and _verbose(arguments):
        sys.stderr.write(escape.terminal(redact("".join(traceback.format_exception(error)))))
    if "--json" in arguments:
        content = {"message": message, "hint": hint, "exit_code": int(code), "kind": _kind(error, code)}
        sys.stderr.write(escape.json(json.dumps({"error": content}, ensure_ascii=False)) + "\n")
        return code
    sys.stderr.write(f"{paint('error:', '1;31', sys.stderr)} {escape.terminal(message, keep='')}\n")
    if hint:
        sys.stderr.write(f"{paint('hint:', '1;36', sys.stderr)} {escape.terminal(hint, keep='')}\n")
    return code


def _kind(error: BaseException | None, code: ExitCode) -> str:
    return type(error).__name__ if isinstance(error, EdgeconvError) else code.name.lower()


def _verbose(arguments: list[str]) -> bool:
    return any(word == "--verbose" or re.fullmatch("-[a-z]*v[a-z]*", word) for word in arguments)
