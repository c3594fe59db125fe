"""Which vision checks an artifact gets, by the name of its format."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from ..core.progress import Progress
from .passes import TorchPasses
from .sight import Sight
from .sight_gguf import GgufSight
from .subject import Pair
from .suite import Picture

SIGHTS: Mapping[str, Callable[[Pair, Sequence[Picture], TorchPasses, str, Progress], Sight | GgufSight]] = {
    "openvino": Sight,
    "gguf": GgufSight,
    "onnx": Sight,
}
