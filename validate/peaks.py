"""The largest activation of each layer, for devices that compute in float16, where nothing lies beyond 65,504."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from typing import Any

HALF = 65504.0
"""The largest number of float16."""


class Peak:
    """The largest magnitude that any module of a layer has put out; NaN once one has put out NaN."""

    def __init__(self) -> None:
        self.value = 0.0

    def hear(self, output: Any) -> None:
        """Take what a module returns: a tensor, or some in a tuple or list; what else it holds is no activation."""
        import torch

        if isinstance(output, torch.Tensor):
            if output.is_floating_point() and output.numel():
                low, high = torch.aminmax(output.detach())
                self.value = max(self.value, -float(low), float(high), key=lambda one: (math.isnan(one), one))
        elif isinstance(output, tuple | list):
            for one in output:
                self.hear(one)


@contextlib.contextmanager
def watched(module: Any) -> Iterator[Peak]:
    """Listen to every module in `module` for a while."""
    peak = Peak()
    handles = [part.register_forward_hook(lambda _module, _given, made: peak.hear(made)) for part in module.modules()]
    try:
        yield peak
    finally:
        for handle in handles:
            handle.remove()
