"""Open a folder's tokenizer with transformers, which would run code and read files that the folder names, both unasked."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from .chat_template import TemplateFault, limited, require_bounded
from .errors import CheckpointError

CONFIG = "tokenizer_config.json"


def open_tokenizer(folder: Path, *, trust_remote_code: bool = False) -> Any:
    """Return transformers' tokenizer of a folder; the Hub is not asked.

    Consent is never left open: transformers would ask for it on the terminal.

    Raises:
        CheckpointError: the folder names files that are not its own, or transformers cannot open what is there.
    """
    require_own_files(folder)
    from transformers import AutoTokenizer

    try:
        tokenizer: Any = AutoTokenizer.from_pretrained(
            folder, local_files_only=True, trust_remote_code=trust_remote_code
        )
    except Exception as error:  # each kind of tokenizer has errors of its own; all mean that it is unusable
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise CheckpointError(
            f"transformers cannot open the tokenizer of {folder.name}: {lines[-1].strip().rstrip('.')}.",
            "Download tokenizer.json and tokenizer_config.json again.",
        ) from error
    _limit_templates(tokenizer, folder)
    return tokenizer


def _limit_templates(tokenizer: Any, folder: Path) -> None:
    """Refuse templates without an end, and let the others run for a limited time."""
    templates = tokenizer.chat_template
    for text in templates.values() if isinstance(templates, dict) else [templates]:
        try:
            if isinstance(text, str):
                require_bounded(text)
        except TemplateFault as fault:
            raise CheckpointError(
                f"The chat template of {folder.name} cannot be used: {fault}.",
                "It is damaged or hostile; do not use it.",
            ) from fault
    apply = tokenizer.apply_chat_template

    def apply_limited(*arguments: Any, **options: Any) -> Any:
        try:
            with limited():
                return apply(*arguments, **options)
        except Exception as error:  # it is a program: it may raise anything, and that is its fault
            reason = (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")
            raise CheckpointError(
                f"The chat template of {folder.name} cannot be rendered: {reason}.", "Take another revision of it."
            ) from error

    tokenizer.apply_chat_template = apply_limited


def require_own_files(folder: Path) -> None:
    """Raise CheckpointError if tokenizer_config.json names a file outside of the folder, which transformers would read.

    Paths of the machine where a tokenizer was made are often left in it; they do no harm where there is no such file.
    """
    for key, value in _config(folder).items():
        if key == "fast_tokenizer_files":
            names = value if isinstance(value, list) else [value]
            foreign = next((name for name in names if not isinstance(name, str) or Path(name).name != name), None)
        else:
            named = key.endswith("_file") and isinstance(value, str) and _exists(value)
            foreign = value if named and not _inside(value, folder) else None
        if foreign is not None:
            raise CheckpointError(
                f"{CONFIG} names a file that is not the checkpoint's own: {key} = {str(foreign)[:200]!r}.",
                "Nothing of it was read. Take the field out; the tokenizer's files lie beside it.",
            )


def _config(folder: Path) -> dict[str, Any]:
    path = folder / CONFIG
    try:
        content = json.loads(path.read_text("utf-8-sig")) if path.is_file() else {}
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{CONFIG} is not valid JSON: {error}.", "Download the file again.") from error
    return content if isinstance(content, dict) else {}


def _exists(name: str) -> bool:
    try:
        return Path(name).exists()
    except (OSError, ValueError):  # too long, or a NUL in it
        return False


def _inside(name: str, folder: Path) -> bool:
    """A snapshot of the Hub's cache is links: a file is the folder's own if it lies there by its name, followed or not."""
    home = folder.resolve()
    return home in Path(os.path.abspath(name)).parents or home in Path(name).resolve().parents  # noqa: PTH100 - unfollowed
