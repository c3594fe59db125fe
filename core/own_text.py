"""Whether a file with a name that a user gave is one that edgeconv wrote: by what stands in it, never by its name."""

from __future__ import annotations

import json
import re
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from . import limits
from .errors import CheckpointError, OutputError

HTML_MARK = '<meta name="generator" content="edgeconv">'
_HEAD = 1 << 12
"""Bytes at a file's start in which the marks of texts stand."""
_LARGEST = 256 << 20
"""Bytes of a JSON file; no report of ours has as many."""
_STARTS = (
    re.compile(r"<\?xml [^>]*>\s*<testsuites name=\"edgeconv parity of "),
    re.compile(r"## (✅|❌|❔) [^\n]*: parity of [^\n]* against [^\n]*, suite [^\n]*\n\n\*\*"),
    re.compile(r'<svg viewBox="0 0 \d+ \d+" role="img" aria-label="'),
    re.compile(
        r'<svg xmlns="http://www\.w3\.org/2000/svg" class="p" viewBox="0 0 \d+ \d+" width="\d+" role="img" aria-label="[^"]*">'
        r"<style>:root\{--ink:#"
    ),
    re.compile(  # a page with a drawing, of versions without the mark
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width,'
        'initial-scale=1"><meta http-equiv="Content-Security-Policy" content="default-src \'none\'; style-src \'sha256-'
    ),
)
_LOG = {"started", "seconds", "smoke_test", "machine", "python", "source"}
_KEYS = (
    {"report", "verdict", "artefact", "reference", "rungs", "budgets"},
    {"sensitivity", "weights_digest", "suite_digest", "parts"},
    {"frontier", "suite_digest", "points"},
    {"conversion", "measurement"},
)
"""Keys that our JSON files have: reports, a recipe's record."""


def is_own(path: Path) -> bool:
    """Whether a file is a text that edgeconv wrote. Raises OSError if it cannot be read."""
    if not stat.S_ISREG(path.lstat().st_mode):
        return False
    size = path.stat().st_size
    with path.open("rb") as file:
        first = file.read(_HEAD).decode("utf-8", "replace")
    if first.lstrip().startswith("{"):
        return size <= _LARGEST and _is_own_json(path)
    marked = first.startswith("<!doctype html") and HTML_MARK in first
    return marked or any(start.match(first) for start in _STARTS)


def is_log(path: Path) -> bool:
    """Whether a file is the log of a conversion. Raises OSError if it cannot be read."""
    is_file = stat.S_ISREG(path.lstat().st_mode)
    return is_file and path.stat().st_size <= _LARGEST and _is_own_json(path, (_LOG,))


def require_own(path: Path) -> None:
    """Refuse to write over what edgeconv did not write; an empty file is free.

    Raises:
        OutputError: there is a file of somebody else's, or something that is not a file.
    """
    try:
        status = path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return
    except OSError as error:
        raise OutputError(f"{path} cannot be written: {error.strerror}.", "Choose another place for it.") from error
    if stat.S_ISREG(status.st_mode):
        try:
            if not status.st_size or is_own(path):
                return
        except OSError as error:
            raise OutputError(f"{path} exists, and cannot be read: {error.strerror}.", _HINT) from error
        raise OutputError(f"{path} exists, and is not a report of edgeconv; it stays as it is.", _HINT)
    raise OutputError(f"{path} exists and is not a file.", "Choose another name.")


_HINT = "Choose another name, or move that file away."


def _is_own_json(path: Path, kinds: Sequence[set[str]] = _KEYS) -> bool:
    try:
        content: Any = json.loads(limits.read_bytes(path, limits.REPORT))
    except (ValueError, RecursionError, CheckpointError):
        return False
    return isinstance(content, dict) and any(keys <= content.keys() for keys in kinds)
