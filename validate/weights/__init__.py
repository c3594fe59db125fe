"""The weights as an artefact holds them, de-quantised in float32 and matched to the checkpoint's tensors."""

from .openvino_ir import ArtefactWeights

__all__ = ["ArtefactWeights"]
