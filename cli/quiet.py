"""Keeps the libraries underneath from talking to the user, to stdout, or to anybody else."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import warnings
from collections.abc import Iterator

from ..core.telemetry import silence_telemetry

_ENVIRONMENT = {
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",  # our own bars show the same
    "TQDM_DISABLE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "TOKENIZERS_PARALLELISM": "false",  # else it warns at every fork
    "TRANSFORMERS_NO_ADVISORY_WARNINGS": "1",
}


@contextlib.contextmanager
def libraries(*, verbose: bool) -> Iterator[None]:
    """Run the body with stdout reserved for edgeconv's own results.

    Whatever the body or a library under it, native code included, writes to stdout goes to stderr if `verbose`, and
    nowhere otherwise; NNCF logs there, for one. Warnings and log records below ERROR are shown only if `verbose`.
    """
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    silence_telemetry()
    level = logging.root.manager.disable
    if not verbose:
        logging.disable(logging.WARNING)  # for all loggers: NNCF sets its own one's level and handler at import
    try:
        with warnings.catch_warnings(), _stdout_to("stderr" if verbose else "null"):
            if not verbose:
                warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)


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
