"""Finding a family: the file of this folder that has the name of the `model_type`. A file is imported when it is asked for."""

from __future__ import annotations

import functools
import importlib
import pkgutil
from collections.abc import Iterator

from ..program.spec import Family

_NO_FAMILY = ("registry", "traced")
_PARTS = ("_fields", "_genai", "_gguf")
"""The files here that are not a family, and ends of names of those that hold parts of one; a folder is a model of a family for
transformers."""


def find(model_type: str) -> Family | None:
    """Return the family of a model_type; None if it has no file."""
    return _load(model_type) if model_type in names() else None


def names() -> list[str]:
    """Return every model_type that has a file, sorted. No file is imported."""
    return list(_listed(tuple(importlib.import_module(__package__).__path__)))


@functools.lru_cache
def _listed(folders: tuple[str, ...]) -> tuple[str, ...]:
    found = [one.name for one in pkgutil.iter_modules(folders) if not one.ispkg]
    return tuple(sorted(name for name in found if name not in _NO_FAMILY and not name.endswith(_PARTS)))


def every() -> Iterator[Family]:
    """Give all families."""
    return map(_load, names())


def by_arch(arch: str) -> Family | None:
    """Return the text family that a GGUF of an architecture becomes: that of its name, if several are written so."""
    found = [one for one in every() if one.gguf and one.gguf.arch == arch and one.language is None]
    return min(found, key=lambda one: (one.model_type != arch, one.model_type), default=None)


def _load(model_type: str) -> Family:
    family: Family = importlib.import_module(f"{__package__}.{model_type}").FAMILY
    return family
