"""Writes the JSON schemas of what --json answers: `python -m edgeconv.study.schemas [--check] FILE`.

The file's name says which: docs/{parity,bisect,sensitivity,frontier,search}.schema.json.
"""

from __future__ import annotations

import sys
from pathlib import Path

from pydantic import BaseModel

from ..core import schema_file
from ..validate.bisect.model import Bisection
from ..validate.report.model import Report
from .frontier.model import Frontier
from .search.model import Search
from .sensitivity.model import Sensitivity

MODELS: dict[str, type[BaseModel]] = {
    "parity": Report,
    "bisect": Bisection,
    "sensitivity": Sensitivity,
    "frontier": Frontier,
    "search": Search,
}
SUFFIX = ".schema.json"


def render(file: Path) -> str:
    """Return the schema that belongs into a file of that name. Raises KeyError for another name."""
    name = file.name.removesuffix(SUFFIX)
    return schema_file.text(MODELS[name].model_json_schema(mode="serialization"), f"{name}.json of edgeconv, version 1")


if __name__ == "__main__":
    sys.exit(schema_file.main("python -m edgeconv.study.schemas", render))
