"""Chat with a converted vision-language model on plain openvino, whose vision part the family describes (`Vision.graphs`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..convert import multimodal
from ..convert.checkpoint import read_json
from ..core.errors import ArtifactError
from . import irs
from .answers import Sampling, check_device
from .openvino_cached import CachedModel
from .sampled_chat import Known, SampledChat
from .vision_processor import vision_processor_of

_SMALL = ("config.json", "tokenizer.json")


class VisionChat(SampledChat):
    """A conversation with one artifact."""

    def __init__(
        self,
        folder: Path,
        *,
        device: str = "CPU",
        system: str | None = None,
        sampling: Sampling | None = None,
        properties: Mapping[str, Any] | None = None,
    ) -> None:
        """Load the artifact; `properties` are OpenVINO's, for example {"EXECUTION_MODE_HINT": "ACCURACY"}.

        Raises:
            ArtifactError: the folder is of a family without a vision part here, or the runtime cannot load it.
            CheckpointError: one of its small files is damaged.
            UsageError: the machine has no such device, or the model's template drops system messages.
        """
        _require(folder, _SMALL)
        config = read_json(folder / "config.json")
        vision = multimodal.described(folder)[1]
        parts = [*(f"{name}.xml" for name in irs.TALKING), *map(irs.vision_file, vision.graphs())]
        _require(folder, [name for xml in parts for name in (xml, xml.removesuffix("xml") + "bin")])
        check_device(device)
        sight = vision_processor_of(folder, config)
        super().__init__(Known.from_folder(folder, multimodal.flat(config), sight), system, sampling, sight)
        self.model = CachedModel(folder, device, vision, properties)
        self.reset()


def _require(folder: Path, names: Sequence[str]) -> None:
    missing = [name for name in names if not (folder / name).is_file()]
    if missing:
        raise ArtifactError(
            f"{folder} is not a whole vision model: {', '.join(missing)} missing.",
            "Give the folder that `edgeconv openvino` wrote.",
        )
