"""A folder of OpenVINO IRs, edgeconv's own or another tool's."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ...convert.checkpoint import Checkpoint
from ...convert.openvino.stream_ir import VISION_EMBEDDINGS
from ...core.graph_file import read_graph
from ...core.manifest import Manifest
from ...core.progress import Progress
from ...runtimes import irs, openvino_genai_once
from ...runtimes.inner_openvino import InnerOpenVINO
from ...runtimes.openvino import OpenVINORuntime, OpenVINOTower
from ...runtimes.turns import Turn
from ..checks import structure, template, tokens
from ..checks.weights import Findings
from ..report.model import Check
from ..weights import ArtifactWeights
from ..weights.openvino_find import find
from ..weights.stored import Mode, most
from .base import Messages
from .encoders import OpenVINOFolder
from .graphs import GraphArtifact


class OpenVINOArtifact(GraphArtifact):
    """Implements `base.Artifact`."""

    format = "openvino"
    pipeline = openvino_genai_once.NAME
    pipeline_accurate = True
    packages: tuple[str, ...] = ("openvino",)
    graph = "openvino"
    vision = f"{VISION_EMBEDDINGS}.xml"
    instead = "Its graphs can be compared with torch through optimum-intel's OVModelForVisualCausalLM."

    def __init__(self, folder: Path, manifest: Manifest | None) -> None:
        """Take a folder. Raises ArtifactError if it holds no IR."""
        super().__init__(folder, manifest, irs.names(folder))

    def _mode_of(self, name: str) -> Mode:
        return most(find(read_graph(self.path / name)))

    def require_device(self, device: str) -> None:
        """OpenVINO itself says what it has."""

    def weights(self, checkpoint: Checkpoint) -> ArtifactWeights:
        """Map the .bin files."""
        return ArtifactWeights(self.path, checkpoint)

    def structure(self, checkpoint: Checkpoint, weights: Any | None, progress: Progress) -> Check:
        """Check 0."""
        return structure.check(self.path, checkpoint, weights, progress)

    def compare(self, checkpoint: Checkpoint, weights: Any, found: Findings, progress: Progress) -> None:
        """Compare the constants."""
        structure.compare_all(checkpoint, weights, found, progress)

    def template(self, checkpoint: Checkpoint, progress: Progress) -> Check:
        """Check 1."""
        return template.check(self.path, checkpoint, progress, parts=self.takes_images)

    def tokens(self, checkpoint: Checkpoint, progress: Progress) -> Check:
        """Check 2."""
        return tokens.check(self.path, checkpoint, progress)

    def runtime(self, device: str, progress: Progress, *, accurate: bool) -> OpenVINORuntime:
        """Compile."""
        return OpenVINORuntime(self.path, device, accurate=accurate)

    def encoder(self) -> OpenVINOFolder:
        """The folder."""
        return OpenVINOFolder(self.path)

    def inner(self, device: str, layers: int, progress: Progress) -> InnerOpenVINO:
        """Compile with further outputs."""
        return InnerOpenVINO(self.path, layers, device)

    def tower(self, device: str) -> OpenVINOTower:
        """Compile the vision part."""
        return OpenVINOTower(self.path, device)

    def answers(self, device: str, prompts: Sequence[Messages], count: int) -> list[Turn]:
        """Answer with `openvino_genai.LLMPipeline`, which takes no artifact of three IRs."""
        return [] if self.takes_images else openvino_genai_once.answer(self.path, device, prompts, count)
