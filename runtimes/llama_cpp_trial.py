"""Whether llama.cpp runs a file at all: a failed assertion ends its process, so it is tried in one of its own.

It is run as `python -m edgeconv.runtimes.llama_cpp_trial FILE`.
"""

from __future__ import annotations

import sys
from pathlib import Path

from ..core import own_process
from ..core.errors import ArtifactError, UsageError
from . import llama_cpp_encoder
from .base import Step
from .llama_cpp import LlamaCppRuntime
from .llama_cpp_tokenizer import LlamaCppTokenizer

_SECONDS = 900.0
"""Wall time that the trial may take: a file of 30 GB is read within, from a slow disk."""
_TEXTS = ("", " ", "a", "Two  words, and 1234 more.\n\n", "\u00e9\u4f60\U0001f642\ufffd\x00<s></s>")
"""Texts of every kind that a vocabulary meets."""


def require_runs(path: Path) -> None:
    """Let another process load a file, tokenize, and run a few tokens in two contexts.

    Raises:
        ArtifactError: llama.cpp refuses the file, or falls over it.
    """
    try:
        own_process.run(f"{__package__}.llama_cpp_trial", path, seconds=_SECONDS)
    except own_process.FallenError as fallen:
        hint = "Convert the checkpoint again"
        if isinstance(fallen, own_process.HangingError):
            hint += "; a disk or a machine that is very slow needs to be quicker"
        said = str(fallen).removeprefix(f"llama.cpp does not load {path}: ")
        raise ArtifactError(f"llama.cpp does not run {path}: {said}.", f"{hint}.") from fallen


def _try(path: Path) -> int:
    """Load, tokenize and run as a validation does; what is wrong goes to stderr."""
    try:
        tokenizer = LlamaCppTokenizer(path)
        for text in _TEXTS:
            for special in (False, True):
                tokenizer.decode(tokenizer.encode(text, special=special), skip=not special)
        tokenizer.close()
        if llama_cpp_encoder.is_encoder(path):
            llama_cpp_encoder.require_states(path)
            return 0
        runtime = LlamaCppRuntime(path, accurate=False)
        next(iter(runtime.logits([0])))
        runtime.accurate = True
        runtime.batch([[0, 0], [0]], "none", [Step([0, 0])])
        runtime.close()
    except (ArtifactError, UsageError) as error:
        print(error.message, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(_try(Path(sys.argv[1])))
