"""A folder of OpenVINO IRs, edgeconv's own or another tool's."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from ...convert.checkpoint import Checkpoint
from ...convert.openvino.stream_ir import VISION_EMBEDDINGS
from ...core import limits
from ...core.errors import ArtifactError, UsageError
from ...core.graph_file import read_graph
from ...core.manifest import Manifest
from ...core.progress import Progress
from ...runtimes import irs, openvino_genai_once
from ...runtimes.inner_openvino import InnerOpenVINO
from ...runtimes.openvino import OpenVINORuntime
from ...runtimes.openvino_vision import OpenVINOTower
from ...runtimes.turns import Turn
from ..checks import structure, template, tokens
from ..checks.weights import Findings
from ..report.model import Check
from ..weights import ArtifactWeights
from ..weights.constant import find
from ..weights.stored import UNREADABLE, Mode, most
from .base import Messages
from .manifest import digest_of, facts_of


class OpenVINOArtifact:
    """Implements `base.Artifact`."""

    format = "openvino"
    pipeline = openvino_genai_once.NAME
    pipeline_accurate = True
    packages: tuple[str, ...] = ("openvino",)
    graph = "openvino"
    context: int | None = None

    def __init__(self, folder: Path, manifest: Manifest | None) -> None:
        """Take a folder. Raises ArtifactError if it holds no IR."""
        self._names = irs.names(folder)
        self.path = folder
        self.manifest = manifest

    @property
    def mode(self) -> str:
        """The way of the fewest bits in which a fifth of the weights is stored, by the graph itself."""
        return self._stored.name

    @property
    def bits(self) -> int:
        """Bits of a weight stored so."""
        return self._stored.bits

    @property
    def tower_bits(self) -> int:
        """Bits of most weights of the vision part."""
        return most(find(read_graph(self.path / f"{VISION_EMBEDDINGS}.xml"))).bits

    @cached_property
    def _stored(self) -> Mode:
        try:
            return most(find(read_graph(self.path / self._names[0])))
        except ArtifactError:  # the first check says why
            return UNREADABLE

    @property
    def digest(self) -> str:
        """By the manifest, else that of the .xml files."""
        if self.manifest:
            return digest_of(self.manifest)
        return hashlib.sha256(
            b"".join(limits.read_bytes(self.path / name, limits.GRAPH, ArtifactError) for name in self._names)
        ).hexdigest()

    @property
    def sees(self) -> bool:
        """True if there is an IR for pictures."""
        return irs.sees(self.path)

    unseen = None

    def without_vision(self) -> OpenVINOArtifact:
        """Refuse: the three IRs of a vision-language model belong together."""
        raise UsageError(
            "Of vision-language models, GLM-Edge-V alone can be measured; this one's checkpoint is another.",
            "Its graphs can be compared with torch through optimum-intel's OVModelForVisualCausalLM.",
        )

    @property
    def facts(self) -> dict[str, str]:
        """How it is stored, and who made it."""
        return {"stored as": self.mode} | facts_of(self.manifest)

    def require_device(self, device: str) -> None:
        """OpenVINO itself says what it has."""

    def weights(self, checkpoint: Checkpoint) -> ArtifactWeights:
        """Map the .bin files."""
        return ArtifactWeights(self.path, checkpoint)

    def structure(self, checkpoint: Checkpoint, weights: Any | None, progress: Progress) -> Check:
        """Rung 0."""
        return structure.check(self.path, checkpoint, weights, progress)

    def compare(self, checkpoint: Checkpoint, weights: Any, found: Findings, progress: Progress) -> None:
        """Compare the constants."""
        structure.compare_all(checkpoint, weights, found, progress)

    def template(self, checkpoint: Checkpoint, progress: Progress) -> Check:
        """Rung 1."""
        return template.check(self.path, checkpoint, progress, parts=self.sees)

    def tokens(self, checkpoint: Checkpoint, progress: Progress) -> Check:
        """Rung 2."""
        return tokens.check(self.path, checkpoint, progress)

    def runtime(self, device: str, progress: Progress, *, accurate: bool) -> OpenVINORuntime:
        """Compile."""
        return OpenVINORuntime(self.path, device, accurate=accurate)

    def inner(self, device: str, layers: int, progress: Progress) -> InnerOpenVINO:
        """Compile with further outputs."""
        return InnerOpenVINO(self.path, layers, device)

    def tower(self, device: str) -> OpenVINOTower:
        """Compile the vision part."""
        return OpenVINOTower(self.path, device)

    def answers(self, device: str, prompts: Sequence[Messages], count: int) -> list[Turn]:
        """Answer with `openvino_genai.LLMPipeline`, which takes no artifact of three IRs."""
        return [] if self.sees else openvino_genai_once.answer(self.path, device, prompts, count)
