"""An importance matrix of our own: the mean square of every input of every matrix, over a text, in the torch reference.

It is what llama-imatrix computes from llama.cpp's own passes (`tools/imatrix/imatrix.cpp`): a weight whose input is large
costs more when it is rounded. The reference runs layer by layer, so that memory stays that of a layer.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ...convert.checkpoint import Checkpoint
from ...convert.conversion.calibrator import CHUNK
from ...core.progress import Progress
from ...validate.module_weights import checkpoint_tensors
from ...validate.reference import LayeredReference
from ...validate.tokenizer import open_tokenizer
from .texts import pieces, require_long, text_of


def documents_of(checkpoint: Checkpoint, text: Path) -> list[list[int]]:
    """Return the ids of a calibration text, in pieces of at most CHUNK.

    Args:
        checkpoint: whose tokenizer is used.
        text: a text, or chats, as `--suite` takes them.

    Raises:
        UsageError: it cannot be read, is too short, or is in part what the validator measures on.
    """
    cut = pieces(text_of(text), open_tokenizer(checkpoint.folder), CHUNK)
    require_long(cut, str(text), "an importance matrix")
    return cut


def importance(
    checkpoint: Checkpoint, documents: Sequence[Sequence[int]], progress: Progress
) -> dict[str, npt.NDArray[Any]]:
    """Run the reference over the documents.

    Returns:
        Tensor's name in the checkpoint → float32 [cols], the mean square of each input.

    Raises:
        ConversionError: transformers has no decoder of that kind.
    """
    model = LayeredReference(checkpoint.folder, checkpoint_tensors(checkpoint), "float32")
    sums: dict[str, Any] = {}
    label = "Measuring what matters"
    finals = model.hidden_states(documents, progress, label, watch=lambda layer, prefix: _watched(layer, prefix, sums))
    sums["lm_head.weight"] = sum(np.square(states.astype(np.float64)).sum(0) for states in finals)
    tokens = sum(map(len, documents))
    return {name: np.asarray(total / tokens, np.float32) for name, total in sums.items()}


@contextlib.contextmanager
def _watched(layer: Any, prefix: str, sums: dict[str, Any]) -> Iterator[None]:
    """Add up the squares of what goes into each linear module of a layer."""
    import torch

    def hook(name: str) -> Any:
        def add(_module: Any, arguments: tuple[Any, ...]) -> None:
            squares = arguments[0].double().square().flatten(0, -2).sum(0).numpy()
            sums[name] = sums[name] + squares if name in sums else squares

        return add

    handles = [
        module.register_forward_pre_hook(hook(f"{prefix}{name}.weight"))
        for name, module in layer.named_modules()
        if isinstance(module, torch.nn.Linear)
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
