"""Chat with a converted GLM-Edge-V on plain openvino: openvino_genai does not know the model."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..convert.checkpoint import read_json
from ..convert.families.glm_edge_v_model.facts import MODEL_TYPE
from ..core.errors import ArtifactError
from . import irs
from .answers import Sampling, check_device
from .openvino_cached import CachedModel
from .sampled_chat import ChatVision, Known, SampledChat

_NEEDED = (
    *(f"{name}.{kind}" for kind in ("xml", "bin") for name in irs.VISION_PARTS),
    "config.json",
    "preprocessor_config.json",
    "tokenizer.json",
)


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
            ArtifactError: the folder is not GLM-Edge-V, or the runtime cannot load it.
            CheckpointError: one of its small files is damaged.
            UsageError: the machine has no such device, or the model's template drops system messages.
        """
        config = _read_config(folder)
        check_device(device)
        vision = ChatVision.from_folder(folder, config)
        super().__init__(Known.from_folder(folder, config), system, sampling, vision)
        self.model = CachedModel(folder, device, vision.placeholder, properties)
        self.reset()


def _read_config(folder: Path) -> dict[str, Any]:
    missing = [name for name in _NEEDED if not (folder / name).is_file()]
    if missing:
        raise ArtifactError(
            f"{folder} is not a whole vision model: {', '.join(missing)} missing.",
            "Give the folder that `edgeconv openvino` wrote.",
        )
    config = read_json(folder / "config.json")
    if config.get("model_type") != MODEL_TYPE:
        raise ArtifactError(
            f"{folder} is a model of type {config.get('model_type')}; with pictures only {MODEL_TYPE} is known here.",
            "openvino_genai.VLMPipeline may run it.",
        )
    return config
