"""cyllama's binding of llama.cpp: found, imported, and a file loaded.

cyllama 0.2.18 (llama.cpp b9190) hands logits out as lists of floats, 0.05 µs a number; there is no pointer to be had from it.
Its `get_logits_ith` asks for `LlamaModel.n_vocab`, which it lacks.
"""

from __future__ import annotations

import functools
import importlib
import importlib.util
import os
from pathlib import Path
from typing import Any

from ..core.errors import ArtifactError, UsageError

NAME = "llama.cpp"
PACKAGE = "cyllama"
_ERROR = 4
"""`enum ggml_log_level`."""
_said: list[str] = []
"""The errors that llama.cpp has logged since the last load."""


def require() -> None:
    """Raise UsageError if llama.cpp is not installed."""
    if importlib.util.find_spec(PACKAGE) is None:
        raise UsageError(
            "A GGUF runs in llama.cpp, and the package cyllama, which brings it, is not installed.",
            "pip install 'edgeconv[gguf]'",
        )


@functools.cache
def binding() -> Any:
    """Import cyllama's binding, quiet. Raises UsageError if it is not installed."""
    require()
    os.environ.setdefault("GGML_NO_BACKTRACE", "1")  # a failed assertion would call gdb
    policy = os.environ.get("OMP_WAIT_POLICY")
    # its OpenMP reads this once; threads that spin at every barrier take eight times as long where another process runs too
    os.environ["OMP_WAIT_POLICY"] = policy or "passive"
    loaded: Any = importlib.import_module("cyllama.llama.llama_cpp")
    if policy is None:
        del os.environ["OMP_WAIT_POLICY"]
    loaded.set_log_callback(lambda level, text: _said.append(str(text)) if level == _ERROR else None)
    return loaded


@functools.cache
def _model_class() -> Any:
    class Model(binding().LlamaModel):  # type: ignore[misc]
        """cyllama's model, with what its context asks for."""

        @functools.cached_property
        def n_vocab(self) -> int:
            return int(self.get_vocab().n_vocab)

    return Model


def load(path: Path, *, repack: bool = True) -> Any:
    """Map a model.

    Args:
        path: the file; of a split one the first part.
        repack: rearrange quantized weights for the CPU, llama.cpp's default; a reader of the vocabulary needs none of it.

    Raises:
        ArtifactError: llama.cpp does not load it.
        UsageError: it is not installed.
    """
    parameters = binding().LlamaModelParams()
    parameters.use_extra_bufts = repack
    _said.clear()
    try:
        return _model_class()(str(path), parameters, verbose=False)
    except (OSError, RuntimeError, ValueError) as error:
        raise ArtifactError(
            f"llama.cpp does not load {path}: {reason() or error}.", "Convert the checkpoint again."
        ) from error


def threads() -> int:
    """One a core, or as many as OMP_NUM_THREADS says, which llama.cpp does not read."""
    asked = os.environ.get("OMP_NUM_THREADS", "")
    return int(asked) if asked.isdecimal() and int(asked) else len(os.sched_getaffinity(0))


def reason() -> str:
    """Return the last error that llama.cpp logged, without the name of its function."""
    lines = [line.strip() for line in _said if line.strip() and "failed to load model" not in line]
    return lines[-1].split(": ", 1)[-1].removeprefix("error loading model: ").rstrip(".") if lines else ""
