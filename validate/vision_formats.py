"""Which vision checks an artifact gets, by the name of its format."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from ..core.progress import Progress
from .passes import TorchPasses
from .suite import Picture
from .target import ValidationTarget
from .vision_checks import VisionChecks
from .vision_checks_gguf import GgufVisionChecks

VISION_CHECKS: Mapping[
    str, Callable[[ValidationTarget, Sequence[Picture], TorchPasses, str, Progress], VisionChecks | GgufVisionChecks]
] = {
    "openvino": VisionChecks,
    "gguf": GgufVisionChecks,
    "onnx": VisionChecks,
}
