"""Writes a JSON schema to a file, or says whether the file is current: what the programs behind `make docs` share."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any


def text(schema: dict[str, Any], title: str) -> str:
    """Return a schema (draft 2020-12) in its one form."""
    head = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": title}
    return json.dumps({**schema, **head}, indent=1, ensure_ascii=False, sort_keys=True) + "\n"


def main(program: str, render: Callable[[Path], str]) -> int:
    """Write what `render` makes of the file that the command line names, or with `--check` say whether it is current."""
    parser = argparse.ArgumentParser(prog=program)
    parser.add_argument("file", type=Path)
    parser.add_argument("--check", action="store_true", help="change nothing; fail if the file is not current")
    options = parser.parse_args()
    made = render(options.file)
    if not options.check:
        options.file.write_text(made, "utf-8")
        return 0
    current = options.file.is_file() and options.file.read_text("utf-8") == made
    if not current:
        sys.stderr.write(f"{options.file} is not current: run `make docs`.\n")
    return int(not current)
