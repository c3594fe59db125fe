"""What the parity suite asks of a converted model, whatever its format: one small interface, one file a format."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy.typing as npt

from ...convert.checkpoint import Checkpoint
from ...core.manifest import Manifest
from ...core.progress import Progress
from ...runtimes.base import Runtime, Tower, VisionLanguageRuntime
from ...runtimes.inner import InnerRuntime
from ...runtimes.turns import Messages, Turn
from ..checks.weights import Findings
from ..report.model import Check
from .encoders import EncoderArtifact

__all__ = ["Artifact", "Messages", "Weights"]


class Weights(Protocol):
    """The weights as an artifact holds them, by the checkpoint's names."""

    @property
    def matched(self) -> Mapping[str, Any]:
        """Names of the tensors that the artifact holds."""

    def tensor(self, name: str) -> npt.NDArray[Any]:
        """Return a tensor de-quantized, float32, in the checkpoint's shape and row order. Raises KeyError."""


class Artifact(Protocol):
    """A converted model.

    Attributes:
        format: its name in the registry, `convert.conversion.FORMATS`.
        path: its folder or file.
        manifest: its manifest, or None (another tool made it).
        pipeline: what runs it for a user, by name.
        pipeline_accurate: it answers reference precision, else as the device does by default.
        packages: those whose versions decide the figures.
    """

    format: str
    path: Path
    manifest: Manifest | None
    pipeline: str
    pipeline_accurate: bool
    packages: tuple[str, ...]

    @property
    def mode(self) -> str:
        """How most of its weights are stored ("int4_sym", "q4_k", "bf16", …)."""

    @property
    def bits(self) -> int:
        """Bits of one such weight."""

    @property
    def graph(self) -> str:
        """Whose graph it is, as `budget.GRAPHS` knows it."""

    @property
    def context(self) -> int | None:
        """Positions that it says it was made for; None if it says nothing of its own."""

    @property
    def digest(self) -> str:
        """SHA-256 that stands for its weights and graph."""

    @property
    def takes_images(self) -> bool:
        """True if it takes pictures."""

    @property
    def vision_left_out(self) -> str | None:
        """Why its vision part, if its checkpoint has one, is not measured; None if it is, or it cannot be left out."""

    def without_vision(self) -> Artifact:
        """Return the artifact as one that takes no pictures. Raises UsageError if the format cannot do without."""

    @property
    def facts(self) -> dict[str, str]:
        """What a report says of it."""

    def require_device(self, device: str) -> None:
        """Raise UsageError for a device that cannot run it."""

    def weights(self, checkpoint: Checkpoint) -> Weights:
        """Open its weights. Raises ArtifactError if they cannot be read."""

    def structure(self, checkpoint: Checkpoint, weights: Any | None, progress: Progress) -> Check:
        """Check 0; `weights` as `weights` gave them, or None: they cannot be opened, and the check says why."""

    def compare(self, checkpoint: Checkpoint, weights: Any, found: Findings, progress: Progress) -> None:
        """Compare every weight with its tensor, as check 0 does; `found` takes what is wrong."""

    def template(self, checkpoint: Checkpoint, progress: Progress) -> Check:
        """Check 1."""

    def tokens(self, checkpoint: Checkpoint, progress: Progress) -> Check:
        """Check 2."""

    def runtime(self, device: str, progress: Progress, *, accurate: bool) -> Runtime:
        """Load it; `accurate`: reference precision. Raises ArtifactError."""

    def inner(self, device: str, layers: int, progress: Progress) -> InnerRuntime:
        """Load it reference precision, and so that it shows what its layers make.

        Raises:
            ArtifactError: it does not load, or so many layers are not found in it.
        """

    def encoder(self) -> EncoderArtifact:
        """Return it as the encoder that it is; asked only where the checkpoint is one."""

    def answers(self, device: str, prompts: Sequence[Messages], count: int) -> list[Turn]:
        """Answer as a user's pipeline does, greedily, with its own template, tokenizer and stops.

        Returns:
            A turn for each prompt, and where there is a template the second turn of the last, on the cache that the first has
            left. Nothing, if no pipeline takes such an artifact.

        Raises:
            ArtifactError: the pipeline does not load it, or fails.
        """


class VisionArtifact(Protocol):
    """A converted vision-language model whose vision part is a graph of its own."""

    @property
    def tower_bits(self) -> int:
        """Bits of most weights of the vision part."""

    def tower(self, device: str) -> Tower:
        """Load the vision part."""

    def runtime(self, device: str, progress: Progress, *, accurate: bool) -> VisionLanguageRuntime:
        """Load the language model, as `Artifact.runtime`."""
