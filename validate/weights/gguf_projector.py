"""The weights of a mmproj of GLM-Edge-V, edgeconv's own or upstream's old converter's, in the checkpoint's names and shapes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy.typing as npt

from ...convert import families
from ...convert.checkpoint import Checkpoint
from ...convert.families.glm_edge_v import GlmEdgeVision as Vision
from ...convert.families.glm_edge_v_model.pixels import Preprocess
from ...convert.gguf import mmproj
from ...convert.gguf.metadata import Origin
from ...convert.gguf.model import Tensor
from ...convert.gguf.read import GgufFile
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
        vision = vision_of(checkpoint)
        prepared = mmproj.prepare(checkpoint, vision, file.path.name, precision="fp32", origin=Origin(""))
        self.keys = expected_keys(checkpoint, vision)
        exchanged = _exchanged(file, vision)
        for placed in prepared.layout.tensors:
            tensor = placed.tensor
            name = _other(tensor.name) if exchanged else tensor.name
            if name in file.tensors:
                self._add(str(tensor.source), Tensor(name, tensor.shape, tensor.source))
        foreign = set(file.tensors) - {m.info.name for matches in self.matched.values() for m in matches}
        self.unmatched_artefact = [name for name in file.tensors if name in foreign]
        self.unmatched_checkpoint = sorted(set(vision.tensors()) - set(self.matched))

    def tensor(self, name: str) -> Array:
        """Return a tensor as the file holds it, float32, in the checkpoint's shape. Raises KeyError."""
        return super().tensor(name).reshape(self._checkpoint.info(name).shape)

    def _add(self, source: str, tensor: Tensor) -> None:
        info, shape = self.file.info(tensor.name), self._checkpoint.info(source).shape
        if info.shape == tensor.shape:
            self.matched[source] = (GgufMatch(info, tensor, source),)
        else:
            self.misshapen.append(f"{tensor.name} is {list(info.shape)}, {source} {list(shape)}.")


class BothHalves:
    """Implements `formats.base.Weights` over two files."""

    def __init__(self, language: GgufWeights, projector: ProjectorWeights) -> None:
        self.language, self.projector = language, projector

    @property
    def matched(self) -> Mapping[str, Any]:
        """Names of the tensors that one of them holds."""
        return {**self.language.matched, **self.projector.matched}

    def tensor(self, name: str) -> Array:
        """Return a tensor de-quantized, float32, in the checkpoint's shape. Raises KeyError."""
        half: Half = self.projector if name in self.projector.matched else self.language
        return half.tensor(name)


def vision_of(checkpoint: Checkpoint) -> Vision:
    """Describe the vision part. Raises CheckpointError if there is none."""
    vision = families.vision(checkpoint.config, checkpoint.names, families.decoder(checkpoint.config))
    if not isinstance(vision, Vision):
        raise CheckpointError("The checkpoint has no vision part.", "A mmproj file belongs to another model.")
    return vision


def expected_keys(checkpoint: Checkpoint, vision: Vision) -> dict[str, Any]:
    """Return what llama.cpp reads of a mmproj's keys `clip.*` (clip.cpp: load_hparams), as the checkpoint asks for it."""
    rule = Preprocess.from_folder(checkpoint.folder)
    own = {
        "image_size": vision.tower.image_size,
        "patch_size": vision.tower.patch_size,
        "embedding_length": vision.tower.hidden_size,
        "feed_forward_length": vision.tower.intermediate_size,
        "block_count": vision.tower.num_layers,
        "attention.head_count": vision.tower.num_heads,
        "attention.layer_norm_epsilon": vision.tower.eps,
        "image_mean": list(rule.mean),
        "image_std": list(rule.std),
    }
    return {
        "clip.has_vision_encoder": True,
        "clip.projector_type": mmproj.KIND,
        "clip.use_gelu": True,  # else the tower's activation is another
        **{f"clip.vision.{name}": value for name, value in own.items()},
    }


def _exchanged(file: GgufFile, vision: Vision) -> bool:
    """Tell whether the loader exchanges the names of the two matrices of an MLP, as upstream's old converter did.

    Where both have the same shape it always does, and `mmproj.prepare` knows.
    """
    down = file.tensors.get("v.blk.0.ffn_down.weight")
    square = vision.tower.intermediate_size == vision.tower.hidden_size
    return down is not None and down.shape[-1] == vision.tower.hidden_size and not square


def _other(name: str) -> str:
    if ".ffn_up." in name:
        return name.replace(".ffn_up.", ".ffn_down.")
    return name.replace(".ffn_down.", ".ffn_up.")
