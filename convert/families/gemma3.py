"""Gemma 3 with pictures: SigLIP, and a projector that takes the mean of squares of patches.

    pixels [n, 3, S, S] -> SigLIP -> means of k x k patches -> norm -> product, [n, 256, hidden]

The tokens of a picture see each other in both directions. Source: `transformers/models/gemma3/modeling_gemma3.py`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

from ..program import vit
from ..program.decoder import Decoder
from ..program.ops import Ops, T
from ..program.reading import Config, Reader, contradicting, whole
from ..program.spec import LanguagePart, VisionPart, vision_language
from ..program.vision import LAST_HIDDEN_STATE, PIXELS, VISION_EMBEDDINGS, Graph, Output, Shapes, Vision, token_id
from ..program.vit import Tower, read_tower
from .gemma3_vision_gguf import MMPROJ

TOWER = "model.vision_tower.vision_model."
PROJECTOR = "model.multi_modal_projector."
PROJECTION = f"{PROJECTOR}mm_input_projection_weight"
DEFAULTS = {
    "image_size": 224,
    "patch_size": 16,
    "hidden_size": 768,
    "intermediate_size": 3072,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "num_channels": 3,
    "layer_norm_eps": 1e-06,
    "hidden_act": "gelu_pytorch_tanh",
}
"""What `SiglipVisionConfig` takes for a field that is absent."""
_ROWS = "mm_tokens_per_image"


@dataclass(frozen=True)
class Gemma3Vision(Vision):
    """A SigLIP tower and the projector behind it.

    Attributes:
        tower: in numbers.
        each: rows of a picture.
        out_size: width of the language model.
        placeholder: `image_token_id`.
        assumed: values that config.json leaves out, as sentences.
    """

    tower: Tower
    each: int
    out_size: int
    placeholder: int
    assumed: tuple[str, ...] = ()

    family = "gemma3"

    @property
    def image_tokens(self) -> int:
        """Rows of a picture."""
        return self.each

    @property
    def picture_side(self) -> int:
        """Side of the square picture, in pixels."""
        return self.tower.image_size

    @property
    def kept(self) -> frozenset[str]:
        """The table of places, and the projection, which is stored the other way round."""
        return frozenset([self.tower.places, PROJECTION])

    @property
    def unused(self) -> tuple[str, ...]:
        """SigLIP's pooling head."""
        return (f"{TOWER}head.*",)

    def graphs(self) -> tuple[Graph, ...]:
        """Return the one graph."""
        return (self.whole(),)

    def whole(self) -> Graph:
        """Return tower and projector."""
        width = self.tower.hidden_size
        tensors: Shapes = self.tower.tensors() | {
            f"{PROJECTOR}mm_soft_emb_norm.weight": (width,),
            PROJECTION: (width, self.out_size),
        }
        rows = Output(LAST_HIDDEN_STATE, (-1, self.image_tokens, self.out_size))
        return Graph(
            VISION_EMBEDDINGS, (self.tower.input(PIXELS),), (rows,), tensors,
            lambda ops, given: [encode(ops, self, given[PIXELS])],
        )  # fmt: skip

    def language_inputs(self, ids: Any) -> Any:
        """Return token_type_ids: 1 for the places of pictures."""
        import numpy as np

        return {"token_type_ids": (np.asarray(ids) == self.placeholder).astype(np.int64)}


def encode(ops: Ops[T], v: Gemma3Vision, pixels: T) -> T:
    """Write tower and projector down: pixels float32 [n, channels, S, S], normalized, to [n, image_tokens, hidden]."""
    hidden = vit.encode(ops, v.tower, pixels)
    width, side = v.tower.hidden_size, v.tower.grid
    means = ops.pooled(ops.grid_of(hidden, width, side), side // math.isqrt(v.image_tokens))
    # without the norm's weight 1 + w the projector would be off by that much
    normed = ops.rms_norm(ops.rows_of(means, width), f"{PROJECTOR}mm_soft_emb_norm", v.tower.eps, 1.0)
    return ops.product(normed, ops.stored(PROJECTION))


def _described(config: Config, vision_config: Config, decoder: Decoder) -> Gemma3Vision:
    read, top = Reader(vision_config, DEFAULTS, "vision_config."), Reader(config, {_ROWS: 256})
    tower, rows = read_tower(read, TOWER), whole(top.get(_ROWS), _ROWS)
    if math.isqrt(rows) ** 2 != rows or tower.grid % math.isqrt(rows):
        raise contradicting(f"{tower.grid} x {tower.grid} patches cannot become {rows} rows")
    key = "image_token_id" if config.get("image_token_id") is not None else "image_token_index"
    return Gemma3Vision(
        tower, rows, decoder.hidden_size, token_id(config, key, decoder),
        (*read.assumed.values(), *top.assumed.values()),
    )  # fmt: skip


FAMILY = vision_language(
    "gemma3",
    "Gemma3ForConditionalGeneration",
    LanguagePart("gemma3_text", adapted=lambda config, decoder: replace(decoder, pictures_whole=True)),
    VisionPart(
        "gemma3",
        title="Gemma 3 with pictures",
        prefix=("model.vision_tower.", PROJECTOR),
        fields=vit.FIELDS | {_ROWS, "image_token_id", "image_token_index", "boi_token_index", "eoi_token_index"},
        describe=_described,
        mmproj=MMPROJ,
    ),
)
