"""The IRs of a vision-language model on plain openvino.

ids -> text embeddings -> the rows of pictures in their placeholders' places -> language model, cached -> logits
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..convert.program.vision import Vision
from .cached import CachedDecoder
from .openvino import OpenVINODecoder, OpenVINOTower


class CachedModel(CachedDecoder):
    """A vision-language model compiled for one device; the vision tower only once a picture is there."""

    def __init__(self, folder: Path, device: str, vision: Vision, properties: Mapping[str, Any] | None = None) -> None:
        """Compile the language model.

        Args:
            folder: of the artifact.
            device: OpenVINO's name.
            vision: its vision part.
            properties: OpenVINO's, for all parts.

        Raises:
            ArtifactError: an IR does not load.
        """
        given = dict(properties or {})
        decoder = OpenVINODecoder(folder, device, given, change=_last_position_only)
        super().__init__(decoder, lambda: OpenVINOTower(folder, device, given, vision=vision), vision)


def _last_position_only(model: Any, _: Path) -> None:
    """Let the last layer see the last position only: over a picture's 578 its logits would take 140 MB.

    Where the graph ends otherwise than in a product, it is left as it is.
    """
    import openvino.opset13 as ops

    product = model.get_results()[0].input_value(0).get_node()
    if product.get_type_name() == "MatMul":
        source = product.input_value(0)
        last = ops.slice(source, [-1], [np.iinfo(np.int64).max], [1], [1])
        product.input(0).replace_source_output(last.output(0))
        model.validate_nodes_and_infer_types()
