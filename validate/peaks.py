"""The largest activation of each layer, for devices that compute in float16, where nothing lies beyond 65,504."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Sequence
from typing import Any

from .report.model import Check

HALF = 65504.0
"""The largest number of float16."""
_NEAR = 0.5
"""Share of HALF from which on a text beside those of the suite may well go beyond it."""


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


def judge(check: Check, peaks: Sequence[float], devices: Sequence[str]) -> Check:
    """Say in the logits' check how near the model comes to the end of float16: a failure on a device that computes in it.

    Args:
        check: the check of the logits.
        peaks: the largest activation of each layer.
        devices: OpenVINO's names of those that the artifact runs on and was made for; "CPU" computes in float32 or bfloat16.
    """
    if not peaks:
        return check
    at = max(range(len(peaks)), key=lambda i: (math.isnan(peaks[i]), peaks[i]))
    largest = peaks[at]
    figures = {**check.figures, "largest_activation": largest, "largest_activation_layer": float(at)}
    sentence = f"An activation of layer {at} reaches {largest:,.0f}; float16 ends at {HALF:,.0f}"
    failures, warnings = list(check.failures), list(check.warnings)
    halves = list(dict.fromkeys(device for device in devices if device.partition(".")[0] in ("GPU", "NPU")))
    if not largest <= HALF and halves:
        failures.append(f"{sentence}, in which {halves[0]} computes: it becomes infinite.")
    elif not largest <= HALF * _NEAR:
        warnings.append(f"{sentence}: a GPU or NPU, which computes in it, may make infinities of it.")
    status = "failed" if failures else check.status
    return check.model_copy(update={"figures": figures, "failures": failures, "warnings": warnings, "status": status})
