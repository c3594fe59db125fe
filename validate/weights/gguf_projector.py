"""The weights of a mmproj, edgeconv's own or upstream's converter's, in the checkpoint's names and shapes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy.typing as npt

from ...convert import families
from ...convert.checkpoint import Checkpoint
from ...convert.gguf import mmproj
from ...convert.gguf.metadata import Origin
from ...convert.gguf.model import Tensor
from ...convert.gguf.read import GgufFile
from ...convert.program.mmproj_spec import Mmproj, Sizes
from ...convert.program.vision import Vision
from ...core.errors import CheckpointError
from .gguf import GgufMatch, GgufWeights, Half

Array = npt.NDArray[Any]


class ProjectorWeights(Half):
    """The vision part. `keys` are those that the checkpoint asks for, name → number, text, or list of numbers."""

    def __init__(self, file: GgufFile, checkpoint: Checkpoint) -> None:
        """Match.

        Raises:
            CheckpointError: the checkpoint has no vision part, or one that llama.cpp's graph is not.
        """
        super().__init__(file, checkpoint)
        declared, shapes = vision_in_gguf(checkpoint)
        prepared = mmproj.prepare(checkpoint, declared, shapes, file.path.name, precision="fp32", origin=Origin(""))
        self.keys = expected_keys(checkpoint, declared)
        wanted = [placed.tensor for placed in prepared.layout.tensors]
        exchanged = _exchanged(file, declared, checkpoint)
        for tensor in wanted:
            name = mmproj.other(tensor.name) if exchanged else tensor.name
            if name in file.tensors:
                self._add(str(tensor.source), replace(tensor, name=name))
        foreign = set(file.tensors) - {m.info.name for matches in self.matched.values() for m in matches}
        self.unmatched_artefact = [name for name in file.tensors if name in foreign]
        self.unmatched_checkpoint = sorted({str(tensor.source) for tensor in wanted} - set(self.matched))

    def _add(self, source: str, tensor: Tensor) -> None:
        info, shape = self.file.info(tensor.name), self._checkpoint.info(source).shape
        if info.shape == tensor.shape:
            self.matched[source] = (*self.matched.get(source, ()), GgufMatch(info, tensor, source))
        else:
            self.misshapen.append(f"{tensor.name} is {list(info.shape)}, {source} {list(shape)}.")


class BothHalves:
    """Implements `formats.base.Weights` over two files."""

    def __init__(self, language: GgufWeights, projector: ProjectorWeights) -> None:
        self.language, self.projector = language, projector

    @property
    def matched(self) -> Mapping[str, Any]:
        """Names of the tensors that one of them holds; a table of which the projector has a row is the language model's."""
        return {**self.projector.matched, **self.language.matched}

    def tensor(self, name: str) -> Array:
        """Return a tensor de-quantized, float32, in the checkpoint's shape. Raises KeyError."""
        half: Half = self.language if name in self.language.matched else self.projector
        return half.tensor(name)


def vision_of(checkpoint: Checkpoint) -> Vision:
    """Describe the vision part. Raises CheckpointError if there is none."""
    vision = families.vision(checkpoint.config, checkpoint.names, families.decoder(checkpoint.config))
    if vision is None:
        raise CheckpointError("The checkpoint has no vision part.", "A mmproj file belongs to another model.")
    return vision


def vision_in_gguf(checkpoint: Checkpoint) -> tuple[Mmproj, mmproj.Shapes]:
    """Return how llama.cpp knows the vision part, and its tensors.

    Raises:
        CheckpointError: there is none, or llama.cpp does not know it.
    """
    vision = vision_of(checkpoint)
    part = families.vision_part(vision.family)
    if part is None or part.mmproj is None:
        raise CheckpointError("llama.cpp does not know this model's vision part.", "A mmproj file is another model's.")
    return part.mmproj, vision.tensors()


def sizes_of(checkpoint: Checkpoint) -> Sizes:
    """Return the tower's sizes, as llama.cpp knows them. Raises CheckpointError."""
    return vision_in_gguf(checkpoint)[0].sizes(checkpoint.config)


def expected_keys(checkpoint: Checkpoint, declared: Mmproj) -> dict[str, Any]:
    """Return what llama.cpp reads of a mmproj's keys `clip.*` (clip.cpp: load_hparams), as the checkpoint asks for it."""
    keys = mmproj.own_keys(checkpoint, declared, declared.sizes(checkpoint.config))
    return {name: value.content for name, value in keys.items() if name not in _UNREAD}


_UNREAD = ("clip.vision.projection_dim",)


def _exchanged(file: GgufFile, declared: Mmproj, checkpoint: Checkpoint) -> bool:
    """Tell whether the loader exchanges the names of the two matrices of an MLP, as upstream's old converter did.

    Where both have the same shape it always does, and `mmproj.prepare` knows.
    """
    down, sizes = file.tensors.get("v.blk.0.ffn_down.weight"), declared.sizes(checkpoint.config)
    square = sizes.inner == sizes.width
    return declared.exchanges and down is not None and down.shape[-1] == sizes.width and not square
