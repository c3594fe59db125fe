"""Which of three models a checkpoint of `model_type: chatglm` is; its config.json does not say.

ChatGLM2 and ChatGLM3 share sizes and vocabulary, and differ in role tokens, in the prompt, and in what `rope_ratio` means.
GLM-4-9B is known by its vocabulary, a file of byte-pair ranks instead of a sentencepiece model.
"""

from __future__ import annotations

import re
from enum import IntEnum
from pathlib import Path
from typing import Any

from ...core import limits
from ...core.errors import CheckpointError

VOCABULARY = "tokenizer.model"
_RANK = re.compile(rb"[A-Za-z0-9+/]+={0,2} \d+\s")
_NAMED = re.compile(r"chatglm-?([23])|codegeex(2)", re.IGNORECASE)
_ROLES = re.compile(r"<\|user\|>|<\|\{\{")
"""A role token, or a template that puts one together."""
_TOKENIZER_FILES = ("tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "chat_template.jinja")


class Version(IntEnum):
    """The generation."""

    CHATGLM2 = 2
    CHATGLM3 = 3
    GLM4 = 4


def find(folder: Path, config: dict[str, Any]) -> tuple[Version, str]:
    """Return the version, and the sentence that says what it was known by.

    Raises:
        CheckpointError: there is no vocabulary.
    """
    path = folder / VOCABULARY
    if not path.is_file():
        raise CheckpointError(f"{folder.name} has no {VOCABULARY}.", "Download the checkpoint's tokenizer too.")
    with path.open("rb") as file:
        head = file.read(256)
    if _RANK.match(head):
        return Version.GLM4, "a GLM-4, known by its vocabulary of byte-pair ranks"
    for name in _TOKENIZER_FILES:
        if (folder / name).is_file() and _ROLES.search(limits.read_text(folder / name, limits.JSON, errors="replace")):
            return Version.CHATGLM3, f"a ChatGLM3, known by the role tokens in {name}"
    on_the_hub = [part for part in folder.absolute().parts if part.startswith("models--")]  # of its cache
    stated = config.get("_name_or_path", "")
    for what, text in (("_name_or_path", stated), ("name", folder.name), *(("name", part) for part in on_the_hub)):
        named = _NAMED.search(str(text))
        if named:
            version = Version(int(named[1] or named[2]))
            return version, f"a ChatGLM{version.value}, known by its {what}"
    return Version.CHATGLM2, "taken for a ChatGLM2, because nothing in it speaks of ChatGLM3"
