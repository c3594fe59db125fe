"""Writes docs/parity.schema.json from the model: `python -m edgeconv.validate.report.schema [--check] FILE`."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from .model import Report


def render() -> str:
    """Return the JSON schema of parity.json (draft 2020-12)."""
    schema = Report.model_json_schema(mode="serialization")
    head = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "parity.json of edgeconv, version 1"}
    return json.dumps({**schema, **head}, indent=1, ensure_ascii=False, sort_keys=True) + "\n"


def main() -> int:
    """Write the file, or with `--check` say whether it is current."""
    parser = argparse.ArgumentParser(prog="python -m edgeconv.validate.report.schema", description=__doc__)
    parser.add_argument("file", type=Path)
    parser.add_argument("--check", action="store_true", help="change nothing; fail if the file is not current")
    options = parser.parse_args()
    if not options.check:
        options.file.write_text(render(), "utf-8")
        return 0
    current = options.file.is_file() and options.file.read_text("utf-8") == render()
    if not current:
        sys.stderr.write(f"{options.file} is not current: run `make docs`.\n")
    return int(not current)


if __name__ == "__main__":
    sys.exit(main())
