"""Writes docs/recipe.schema.json from the model: `python -m edgeconv.recipes.schema [--check] FILE`."""

from __future__ import annotations

import sys

from ..core import schema_file
from .model import Recipe


def render() -> str:
    """Return the JSON schema of a recipe, from which editors complete."""
    return schema_file.text(Recipe.model_json_schema(), "a recipe of edgeconv, version 1")


if __name__ == "__main__":
    sys.exit(schema_file.main("python -m edgeconv.recipes.schema", lambda _: render()))
