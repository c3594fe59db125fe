"""Which vision checks an artifact gets, by the name of its format."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ..convert.families.glm_edge_v_model.facts import is_glm_edge_v
from ..core.progress import Progress
from .passes import TorchPasses
from .suite import Picture
from .vision_checks import VisionChecks
from .vision_checks_gguf import GgufVisionChecks
from .vision_checks_projector import ProjectorChecks

Checks = VisionChecks | GgufVisionChecks | ProjectorChecks


def _gguf(artifact: Any, pictures: Sequence[Picture], passes: TorchPasses, device: str, progress: Progress) -> Checks:
    checkpoint = passes.pair.checkpoint
    own = GgufVisionChecks if is_glm_edge_v(checkpoint.config, checkpoint.names) else ProjectorChecks
    return own(artifact, pictures, passes, device, progress)


VISION_CHECKS: Mapping[
    str,
    Callable[[Any, Sequence[Picture], TorchPasses, str, Progress], Checks],
] = {
    "openvino": VisionChecks,
    "gguf": _gguf,
    "onnx": VisionChecks,
}
"""Each takes first the artifact of the passes' pair, which is one of its format."""
