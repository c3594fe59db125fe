"""Keeps the libraries underneath from talking to the user, to stdout, or to anybody else."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import warnings
from collections.abc import Iterator

from ..core.escape import terminal
from ..core.foreign_code import block_optional_packages
from ..core.redact import redact
from ..core.telemetry import silence_telemetry

_ENVIRONMENT = {
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",  # our own bars show the same
    "TQDM_DISABLE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "TOKENIZERS_PARALLELISM": "false",  # else it warns at every fork
    "TRANSFORMERS_NO_ADVISORY_WARNINGS": "1",
}

_FORMAT = warnings.formatwarning


@contextlib.contextmanager
def libraries(*, verbose: bool) -> Iterator[None]:
    """Run the body with stdout reserved for edgeconv's own results.

    Whatever the body or a library under it, native code included, writes to stdout goes to stderr if `verbose`, and
    nowhere otherwise; NNCF logs there, for one. Warnings and log records below ERROR are shown only if `verbose`, and
    those that are shown are text: what a library quotes of a checkpoint cannot move the cursor.
    """
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    _keep_torch_tidy()
    silence_telemetry()
    block_optional_packages()
    level = logging.root.manager.disable
    if not verbose:
        logging.disable(logging.WARNING)  # for all loggers: NNCF sets its own one's level and handler at import
    try:
        with warnings.catch_warnings(), _records_of(_TextRecord), _stdout_to("stderr" if verbose else "null"):
            warnings.formatwarning = _format_warning
            if not verbose:
                warnings.simplefilter("ignore")
            yield
    finally:
        warnings.formatwarning = _FORMAT
        logging.disable(level)


def _keep_torch_tidy() -> None:
    """Name torch a folder that is there: it makes one in TMPDIR as its compiler is imported, which nobody here uses."""
    places = (os.environ.get(name) for name in ("TMPDIR", "TEMP", "TMP"))  # as `tempfile`, whose import takes long
    found = next((place for place in (*places, "/tmp", "/var/tmp") if place and os.path.isdir(place)), None)  # noqa: PTH112
    if found:
        os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", found)


class _TextRecord(logging.LogRecord):
    """A log record whose message is inert, and holds no secret (HF_DEBUG has huggingface_hub write each request down)."""

    def getMessage(self) -> str:  # noqa: N802 - logging's name
        """Return the message as text."""
        return terminal(redact(super().getMessage()))


@contextlib.contextmanager
def _records_of(kind: type[logging.LogRecord]) -> Iterator[None]:
    """Have every logger make records of this kind."""
    before = logging.getLogRecordFactory()
    logging.setLogRecordFactory(kind)
    try:
        yield
    finally:
        logging.setLogRecordFactory(before)


def _format_warning(
    message: Warning | str, category: type[Warning], filename: str, lineno: int, line: str | None = None
) -> str:
    return terminal(redact(_FORMAT(message, category, filename, lineno, line)))


@contextlib.contextmanager
def _stdout_to(where: str) -> Iterator[None]:
    """Point both `sys.stdout` and file descriptor 1 (C++ code writes there) to stderr or to nothing."""
    sys.stdout.flush()
    with contextlib.ExitStack() as stack:
        null = stack.enter_context(open(os.devnull, "w", encoding="utf-8"))  # noqa: PTH123 - a device, not a path
        saved = os.dup(1)
        stack.callback(os.close, saved)
        os.dup2(2 if where == "stderr" else null.fileno(), 1)
        stack.callback(os.dup2, saved, 1)
        stack.enter_context(contextlib.redirect_stdout(sys.stderr if where == "stderr" else null))
        yield
