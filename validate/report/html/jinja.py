"""The one Jinja environment that pages are made in: everything that is filled in is escaped, and nothing may be undefined."""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from pathlib import Path
from typing import Any

from ....core.escape import visible
from ..words import percent, seconds, significant

TEMPLATES = Path(__file__).parent / "templates"


@cache
def environment() -> Any:
    """Return the environment, with the filters of numbers that pages share (`jinja2.Environment`)."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    made = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters.update(seconds=seconds, percent=percent, significant=significant, visible=visible)
    return made


def source(name: str) -> str:
    """Return the text of a file beside the templates."""
    return (TEMPLATES / name).read_text("utf-8")


def digest(text: str) -> str:
    """Return what a content security policy calls a style or script by."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
