"""The scheme that a manifest states, read back and put into words: for conversions, `inspect` and model cards."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..quantize.scheme import Scheme
from .gguf.recipe import Recipe

_IMPORTANCE = "imatrix"


def read(target: str, fields: Mapping[str, Any]) -> Scheme | Recipe:
    """Return a manifest's scheme as the value that it was written from.

    Args:
        target: the manifest's format.
        fields: its `scheme`; an importance matrix in it is no part of the value.

    Raises:
        TypeError: there are fields that this version does not know.
    """
    if target != "gguf":
        return Scheme(**fields)
    own = {name: value for name, value in fields.items() if name != _IMPORTANCE}
    return Recipe(**{**own, "tensor_types": tuple(map(tuple, own.get("tensor_types", ())))})


def describe(target: str, fields: Mapping[str, Any], weighed_by: str = "importance") -> str:
    """Put a manifest's scheme into a line; `weighed_by` stands before the name of an importance matrix. Raises as `read`."""
    matrix = fields.get(_IMPORTANCE) if target == "gguf" else None
    return read(target, fields).describe() + (f", {weighed_by} {matrix['file']}" if matrix else "")
