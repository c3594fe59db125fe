"""What edgeconv was seen to answer to each fault: outcomes.json, which the tests check and docs/reliability.md shows.

`make outcomes` writes it anew; without that an answer that differs fails its test.
"""

from __future__ import annotations

import fcntl
import json
import os
from pathlib import Path
from typing import Any

PATH = Path(__file__).with_name("outcomes.json")
UPDATE = "EDGECONV_UPDATE"

Outcomes = dict[str, dict[str, dict[str, Any]]]
"""Title of a fault → command → exit, message, hint."""


def read() -> Outcomes:
    """Return what is recorded."""
    return dict(json.loads(PATH.read_text("utf-8"))) if PATH.is_file() else {}


def check(title: str, command: str, code: int, message: str, hint: str) -> None:
    """Compare an answer with the recorded one, or record it if that is asked for."""
    seen = {"exit": code, "message": message, "hint": hint}
    if os.environ.get(UPDATE):
        _record(title, command, seen)
        return
    recorded = read().get(title, {}).get(command)
    assert recorded == seen, f"{title!r} of {PATH.name} is not what `{command}` answers; {UPDATE}=1 records it anew"


def _record(title: str, command: str, seen: dict[str, Any]) -> None:
    with Path(__file__).open() as lock:  # tests run in several processes
        fcntl.flock(lock, fcntl.LOCK_EX)
        found = read()
        found.setdefault(title, {})[command] = seen
        PATH.write_text(json.dumps(found, indent=1, ensure_ascii=False, sort_keys=True) + "\n", "utf-8")
