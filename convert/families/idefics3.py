"""Idefics3: SigLIP over tiles of a picture, of whose patches squares become one row. Source: `transformers/models/idefics3/`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...core.errors import ArtifactError
from ..program import vit
from ..program.decoder import Decoder
from ..program.ops import Ops, T
from ..program.reading import Config, Reader, contradicting, whole
from ..program.spec import Family, LanguagePart, VisionPart, vision_language
from ..program.vision import (
    LAST_HIDDEN_STATE,
    PIXELS,
    VISION_EMBEDDINGS,
    Array,
    Arrays,
    Graph,
    Input,
    Output,
    Shapes,
    Vision,
    token_id,
)  # fmt: skip
from ..program.vit import Tower, read_tower
from .idefics3_gguf import MMPROJ

TOWER, CONNECTOR = "model.vision_model.", "model.connector."
PRODUCT = f"{CONNECTOR}modality_projection.proj"
PIXEL_MASK, PATCH_MASK, PLACES = "pixel_attention_mask", "patch_attention_mask", "patch_position_ids"
DEFAULTS = {
    "hidden_size": 1152,
    "intermediate_size": 3072,
    "num_hidden_layers": 12,
    "num_attention_heads": 16,
    "num_channels": 3,
    "image_size": 224,
    "patch_size": 32,
    "hidden_act": "gelu_pytorch_tanh",
    "layer_norm_eps": 1e-06,
}
"""What the vision configs of Idefics3 and SmolVLM take for a field that is absent."""


@dataclass(frozen=True)
class TiledVision(Vision):
    """A tower and what joins its rows.

    Attributes:
        family: the model_type.
        tower: in numbers.
        factor: so many patches by as many become one row.
        out_size: width of the language model.
        placeholder: `image_token_id`.
        assumed: values that config.json leaves out, as sentences.
    """

    family: str
    tower: Tower
    factor: int
    out_size: int
    placeholder: int
    assumed: tuple[str, ...] = ()

    @property
    def each(self) -> int:
        """Rows of a tile."""
        return (self.tower.grid // self.factor) ** 2

    @property
    def kept(self) -> frozenset[str]:
        """The table of places."""
        return frozenset([self.tower.places])

    def graphs(self) -> tuple[Graph, ...]:
        """Return the one graph, which is told where patches lie."""
        grid = self.tower.grid
        inputs = (
            self.tower.input(PIXELS),
            Input(PATCH_MASK, (-1, grid, grid), "bool"),
            Input(PLACES, (-1, grid * grid), "int64"),
        )
        return (Graph(VISION_EMBEDDINGS, inputs, (self._output,), self._tensors(), self._write, self._feed),)

    def whole(self) -> Graph:
        """Return the same for tiles that are full, as this family's processors make them."""
        pixels = (self.tower.input(PIXELS),)
        return Graph(VISION_EMBEDDINGS, pixels, (self._output,), self._tensors(), self._write, self._full)

    def _full(self, made: Arrays, before: Arrays) -> dict[str, Array]:
        """Do as `_feed`. Raises ArtifactError for a tile that is filled in part, which this graph cannot be told."""
        fed = self._feed(made, before)
        if not fed[PATCH_MASK].all():
            raise ArtifactError(
                "A tile of the picture is filled in part, and the ONNX vision encoder takes full tiles.",
                "Let the processor split and resize pictures (do_image_splitting, do_resize).",
            )
        return fed

    @property
    def _output(self) -> Output:
        return Output(LAST_HIDDEN_STATE, (-1, self.each, self.out_size))

    def _tensors(self) -> Shapes:
        wide = self.tower.hidden_size * self.factor**2
        return self.tower.tensors() | {f"{PRODUCT}.weight": (self.out_size, wide)}

    def _write(self, ops: Ops[Any], given: Mapping[str, Any]) -> list[Any]:
        mask = None
        if PATCH_MASK in given:
            kept = ops.flags(ops.reshape(given[PATCH_MASK], [0, -1]))
            mask = ops.sight(kept, kept)
        hidden = vit.encode(ops, self.tower, given[PIXELS], places=given.get(PLACES), mask=mask)
        return [ops.linear(shuffled(ops, hidden, self.tower.grid, self.tower.hidden_size, self.factor), PRODUCT, False)]

    def _feed(self, made: Arrays, _: Arrays) -> dict[str, Array]:
        """Leave out what fills a batch up, and say which patches are there and where."""
        side, grid = self.tower.image_size, self.tower.grid
        pixels = np.asarray(made[PIXELS]).reshape(-1, *self.tower.pixels[1:])
        real = (pixels != 0).reshape(len(pixels), -1).any(1)
        real[0] |= not real.any()
        whole = np.ones((len(pixels), side, side))
        mask = np.asarray(made[PIXEL_MASK]).reshape(-1, side, side) if PIXEL_MASK in made else whole
        inside = mask[real, : grid * self.tower.patch_size, : grid * self.tower.patch_size]  # the rest is in no patch
        patches: Array = np.asarray(
            inside.reshape(-1, grid, self.tower.patch_size, grid, self.tower.patch_size).any((2, 4))
        )
        return {PIXELS: pixels[real], PATCH_MASK: patches, PLACES: places(patches)}


def places(patches: Array) -> Array:
    """Return the row of the table for each patch, int64 [n, grid²]: what fills a part of its tile is stretched over it."""
    count, grid, _ = patches.shape
    made = np.zeros((count, grid * grid), np.int64)
    for number, here in enumerate(patches):
        sides = []
        for there in (here[:, 0].sum(), here[0].sum()):
            shares = np.minimum(np.arange(grid, dtype=np.float32) * np.float32(1.0 / there), np.float32(1 - 1e-6))
            sides.append(np.digitize(shares, np.arange(1, grid, dtype=np.float32) / grid))
        made[number] = np.where(here, sides[0][:, None] * grid + sides[1][None], 0).reshape(-1)
    return made


def shuffled(ops: Ops[T], rows: T, grid: int, width: int, factor: int) -> T:
    """Put squares of patches side by side (pixel shuffle): [n, grid², width] to [n, (grid / factor)², width * factor²]."""
    small = grid // factor
    rows = ops.reshape(rows, [0, grid, small, width * factor])
    rows = ops.reshape(ops.transpose(rows, [0, 2, 1, 3]), [0, small, small, width * factor**2])
    return ops.reshape(ops.transpose(rows, [0, 2, 1, 3]), [0, small**2, width * factor**2])


def family(model_type: str, architecture: str, title: str) -> Family:
    """Declare a family of this kind."""

    def described(config: Config, vision_config: Config, decoder: Decoder) -> TiledVision:
        read, top = Reader(vision_config, DEFAULTS, "vision_config."), Reader(config, {"scale_factor": 2})
        tower, factor = read_tower(read, TOWER), whole(top.get("scale_factor"), "scale_factor")
        if tower.grid % factor:
            raise contradicting(f"{tower.grid} x {tower.grid} patches cannot be joined {factor} by {factor}")
        placeholder = token_id(config, "image_token_id", decoder)
        assumed = (*read.assumed.values(), *top.assumed.values())
        return TiledVision(model_type, tower, factor, decoder.hidden_size, placeholder, assumed)

    return vision_language(
        model_type,
        architecture,
        LanguagePart(),
        VisionPart(
            model_type,
            title=title,
            mmproj=MMPROJ,
            prefix=(TOWER, CONNECTOR),
            fields=vit.FIELDS | {"scale_factor", "image_token_id"},
            describe=described,
        ),
    )


FAMILY = family("idefics3", "Idefics3ForConditionalGeneration", "Idefics3")
