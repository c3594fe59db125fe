"""NNCF's own bars, told as steps of ours; and its engines given the one `openvino.Core` of this process."""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Iterator
from typing import Any
from unittest import mock

from ..core.openvino_core import openvino_core
from ..core.progress import Progress

_TRACKED = (
    "nncf.common.tensor_statistics.aggregator",
    "nncf.quantization.algorithms.weight_compression.algorithm",
    "nncf.quantization.algorithms.weight_compression.awq",
    "nncf.quantization.algorithms.weight_compression.gptq",
    "nncf.quantization.algorithms.weight_compression.mixed_precision",
    "nncf.quantization.algorithms.weight_compression.scale_estimation",
)
"""Modules of NNCF 3.4 that import `track`, the function that draws a bar around a loop."""
_WORDS = {
    "Statistics collection": "Measuring activations",
    "Applying data-aware AWQ": "AWQ",
    "Applying data-free AWQ": "AWQ",
    "Applying Scale Estimation": "Scale estimation",
    "Applying GPTQ": "GPTQ",
    "Applying GPTQ with Scale Estimation": "GPTQ with scale estimation",
    "Mixed-Precision assignment": "Choosing layers",
    "Applying Weight Compression": "Compressing with NNCF",
    "Applying Weight Compression with correction of low-rank adapters": "Compressing with LoRA correction",
}


@contextlib.contextmanager
def told(progress: Progress) -> Iterator[None]:
    """Let what NNCF does in the body be heard of in `progress`, in its own units: samples, layers, weights."""
    import openvino

    class Shared:
        """openvino, but for its Core, of which NNCF makes and drops one a layer (`core.openvino_core` says what that does)."""

        Core = staticmethod(openvino_core)

        def __getattr__(self, name: str) -> Any:
            return getattr(openvino, name)

    def track(sequence: Any, description: str = "", total: float | None = None, **_: Any) -> Iterator[Any]:
        size = total if total is not None else len(sequence) if hasattr(sequence, "__len__") else None
        task = progress.task(_WORDS.get(description, description), None if size is None else int(size))
        for one in sequence:
            yield one
            task.advance(1)
        task.finish()

    with contextlib.ExitStack() as stack:
        for name in _TRACKED:
            stack.enter_context(mock.patch.object(importlib.import_module(name), "track", track))
        stack.enter_context(mock.patch.object(importlib.import_module("nncf.openvino.engine"), "ov", Shared()))
        yield
