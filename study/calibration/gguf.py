"""`--imatrix TEXT`: the matrix is computed here."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ...convert.checkpoint import Checkpoint
from ...convert.conversion.calibrator import CHUNK
from ...convert.gguf.describe import describe
from ...convert.gguf.imatrix import ImportanceFile
from ...core.progress import Progress
from .importance import documents_of, importance

_NOT_WEIGHED = ("token_embd.weight",)
"""Looked up, not multiplied with: no input has a size there."""


def of_text(path: Path, checkpoint: Checkpoint, progress: Progress | None) -> ImportanceFile:
    """Compute an importance matrix.

    Args:
        path: a text.
        checkpoint: the source.
        progress: reports the computation; None: for a plan, which needs to know only for which tensors there will be one.

    Raises:
        UsageError: a text that cannot be read or is too short.
    """
    documents = documents_of(checkpoint, path)
    tensors = [
        t for t in describe(checkpoint.config).tensors if t.source and len(t.shape) > 1 and t.name not in _NOT_WEIGHED
    ]
    if progress is None:
        found = {str(tensor.source): np.ones(tensor.shape[-1], np.float32) for tensor in tensors}
    else:
        found = importance(checkpoint, documents, progress)
    named = {tensor.name: found[str(tensor.source)] for tensor in tensors if tensor.source in found}
    return ImportanceFile(path, named, -(-sum(map(len, documents)) // CHUNK), path.name)
