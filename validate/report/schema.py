"""Writes docs/parity.schema.json from the model: `python -m edgeconv.validate.report.schema [--check] FILE`."""

from __future__ import annotations

import sys

from ...core import schema_file
from .model import Report


def render() -> str:
    """Return the JSON schema of parity.json."""
    return schema_file.text(Report.model_json_schema(mode="serialization"), "parity.json of edgeconv, version 1")


def main() -> int:
    """Write the file, or with `--check` say whether it is current."""
    return schema_file.main("python -m edgeconv.validate.report.schema", render)


if __name__ == "__main__":
    sys.exit(main())
