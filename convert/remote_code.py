"""Python code that comes with a checkpoint: what of it may run once the user consents, in words."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..core.errors import CheckpointError
from ..core.json_file import read_json

_FILES = ("config.json", "tokenizer_config.json")


UNKNOWN = (
    "Only architectures that transformers itself implements are converted: take a revision of the model in that form."
)
"""What to do about a checkpoint whose own code `is_needed`."""


def is_needed(config: dict[str, Any]) -> bool:
    """Whether the architecture is known to the checkpoint's own code alone, which is never run."""
    from . import makers
    from .families import is_native
    from .openvino import trace_support

    kind = config["model_type"]
    return not (is_native(config) or kind in makers.MODEL_TYPES or trace_support.known(kind))


def consented(folder: Path, name: str, commit: str | None) -> list[str]:
    """Say which files `--trust-remote-code` lets run, and of which commit.

    Args:
        folder: of the checkpoint.
        name: what it is called.
        commit: on the Hub; None for a folder.

    Returns:
        one sentence, or none if nothing there asks to be run.

    Raises:
        CheckpointError: it takes code from another repository, of whatever commit that has by then.
    """
    asked = [(file, target) for file in _FILES for target in _targets(folder / file)]
    for file, target in asked:
        if "--" in target:
            raise CheckpointError(
                f"{file} takes code from another repository, {target.partition('--')[0]}, at whatever commit that is by then.",
                "Copy that code into the checkpoint's folder, read it, and point auto_map to it.",
            )
    if not asked:
        return []
    files = ", ".join(sorted(path.name for path in folder.glob("*.py"))) or "no file, for there is none"
    of = f"{name} at commit {commit}" if commit else f"the folder {name}, of no known commit"
    return [f"--trust-remote-code lets Python code of the checkpoint run: {files}; from {of}"]


def _targets(path: Path) -> Iterator[str]:
    """Give each class that auto_map names, "module.Class" or "repository--module.Class"."""
    named: Any = read_json(path).get("auto_map") if path.is_file() else None
    for value in named.values() if isinstance(named, dict) else ():
        for target in value if isinstance(value, list) else [value]:
            if isinstance(target, str):
                yield target
