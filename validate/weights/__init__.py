"""The weights as an artifact holds them, de-quantized in float32 and matched to the checkpoint's tensors."""

from .openvino_ir import ArtifactWeights

__all__ = ["ArtifactWeights"]
