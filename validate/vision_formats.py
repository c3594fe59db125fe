"""Which vision checks an artifact gets, by the name of its format."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ..core.progress import Progress
from .passes import TorchPasses
from .suite import Picture
from .vision_checks import VisionChecks
from .vision_checks_gguf import GgufVisionChecks

VISION_CHECKS: Mapping[
    str,
    Callable[[Any, Sequence[Picture], TorchPasses, str, Progress], VisionChecks | GgufVisionChecks],
] = {
    "openvino": VisionChecks,
    "gguf": GgufVisionChecks,
    "onnx": VisionChecks,
}
"""Each takes first the artifact of the passes' pair, which is one of its format."""
