"""What the artifacts have alike that are folders of graphs: of a text model one, of a vision-language model three."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from functools import cached_property
from pathlib import Path
from typing import ClassVar, NoReturn

from ...convert import families
from ...core.errors import ArtifactError, UsageError
from ...core.manifest import Manifest
from ..weights.stored import UNREADABLE, Mode
from .manifest import digest_of, facts_of

_BLOCK = 1 << 20


class GraphArtifact(ABC):
    """A part of `base.Artifact`.

    Attributes:
        vision: name of the vision part's graph.
        instead: what else compares a vision-language model that is not measured here; None: nothing that is known.
    """

    vision: ClassVar[str]
    instead: ClassVar[str | None] = None
    context: int | None = None
    vision_left_out: str | None = None

    def __init__(self, folder: Path, manifest: Manifest | None, names: tuple[str, ...]) -> None:
        """Take a folder, its manifest, and the names of its graphs, the one that generates first."""
        self.path, self.manifest, self._names = folder, manifest, names

    @abstractmethod
    def _mode_of(self, name: str) -> Mode:
        """Return how most weights of a graph are stored. Raises ArtifactError."""

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
        return self._mode_of(self.vision).bits

    @cached_property
    def _stored(self) -> Mode:
        try:
            return self._mode_of(self._names[0])
        except ArtifactError:  # the first check says why
            return UNREADABLE

    @property
    def digest(self) -> str:
        """By the manifest, else that of the graphs, one behind the other."""
        if self.manifest:
            return digest_of(self.manifest)
        found = hashlib.sha256()
        for name in self._names:
            with (self.path / name).open("rb") as file:
                while block := file.read(_BLOCK):
                    found.update(block)
        return found.hexdigest()

    @property
    def takes_images(self) -> bool:
        """True if there is a graph for pictures."""
        return (self.path / self.vision).is_file()

    def without_vision(self) -> NoReturn:
        """Refuse: the graphs of a vision-language model belong together."""
        known = ", ".join(families.vision_language_types())
        raise UsageError(
            f"The artifact takes pictures, and the checkpoint has no vision part that edgeconv knows; known are {known}.",
            self.instead,
        )

    @property
    def facts(self) -> dict[str, str]:
        """How it is stored, and who made it."""
        return {"stored as": self.mode} | facts_of(self.manifest)
