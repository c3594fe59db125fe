"""InternVL, as transformers itself knows it: InternViT over square tiles, each 2 x 2 patches in one row, and an MLP.

    pixels [tiles, 3, S, S] -> InternViT -> squares of patches side by side -> norm -> MLP, [tiles, rows of a tile, hidden]

A picture becomes one tile or several, and a small one of the whole behind them. The form of the makers' own code
(`internvl_chat`) has other names for all tensors, and is another type.
Source: `transformers/models/internvl/modeling_internvl.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...core.errors import CheckpointError
from ..program import intern_vit
from ..program.decoder import Decoder
from ..program.intern_vit import Tower, read_tower
from ..program.ops import Ops, T
from ..program.reading import Config, Reader, UnsupportedArchitecture, contradicting, positive
from ..program.spec import LanguagePart, VisionPart, vision_language
from ..program.vision import (
    LAST_HIDDEN_STATE,
    PIXELS,
    VISION_EMBEDDINGS,
    Graph,
    Output,
    Shapes,
    Vision,
    preprocessor,
    token_id,
)
from ..program.vit import with_bias
from . import internvl_genai
from .internvl_gguf import MMPROJ

TOWER = "model.vision_tower."
PROJECTOR = "model.multi_modal_projector."
NORM_EPS = 1e-5
"""Of the projector's norm, which no config states."""
DEFAULTS: dict[str, Any] = {
    "image_size": 448,
    "patch_size": 14,
    "num_channels": 3,
    "hidden_size": 1024,
    "intermediate_size": 4096,
    "num_hidden_layers": 24,
    "num_attention_heads": 16,
    "layer_norm_eps": 1e-06,
    "hidden_act": "gelu",
    "norm_type": "layer_norm",
    "attention_bias": False,
    "use_qk_norm": False,
    "use_mean_pooling": True,
    "use_absolute_position_embeddings": True,
}
"""What `InternVLVisionConfig` takes for a field that is absent."""
TOP = {
    "downsample_ratio": 0.5,
    "projector_hidden_act": "gelu",
    "vision_feature_layer": -1,
    "vision_feature_select_strategy": "default",
}
"""What `InternVLConfig` takes."""


@dataclass(frozen=True)
class InternVision(Vision):
    """The tower and the projector behind it.

    Attributes:
        tower: in numbers.
        merged: patches along the side of the square that becomes a row.
        activation: of the projector.
        out_size: width of the language model.
        placeholder: `image_token_id`.
        assumed: values that config.json leaves out, as sentences.
    """

    tower: Tower
    merged: int
    activation: str
    out_size: int
    placeholder: int
    assumed: tuple[str, ...] = ()

    family = "internvl"

    @property
    def picture_side(self) -> int:
        """Side of a square tile, in pixels."""
        return self.tower.image_size

    @property
    def rows_of_a_tile(self) -> int:
        """Rows that become of a tile."""
        return (self.tower.grid // self.merged) ** 2

    @property
    def kept(self) -> frozenset[str]:
        """What is added, not multiplied by."""
        return frozenset([self.tower.table])

    @property
    def unused(self) -> tuple[str, ...]:
        """What is stored of the tower and not read."""
        return self.tower.unused

    def graphs(self) -> tuple[Graph, ...]:
        """Return the one graph."""
        return (self.whole(),)

    def whole(self) -> Graph:
        """Return tower and projector."""
        wide, out = self.tower.hidden_size * self.merged**2, self.out_size
        tensors: Shapes = self.tower.tensors() | with_bias(f"{PROJECTOR}layer_norm", (wide,))
        tensors |= with_bias(f"{PROJECTOR}linear_1", (out, wide)) | with_bias(f"{PROJECTOR}linear_2", (out, out))
        rows = Output(LAST_HIDDEN_STATE, (-1, self.rows_of_a_tile, out))
        return Graph(
            VISION_EMBEDDINGS, (self.tower.input(PIXELS),), (rows,), tensors,
            lambda ops, given: [encode(ops, self, given[PIXELS])],
        )  # fmt: skip

    def check_files(self, folder: Path) -> list[str]:
        """Check that pictures are cut into tiles of the tower's size: transformers would stretch its table of places."""
        said, side = super().check_files(folder), self.tower.image_size
        stated = preprocessor(folder).get("size")
        if isinstance(stated, dict) and stated.get("height") is not None and stated != {"height": side, "width": side}:
            raise CheckpointError(
                f"{folder.name}'s processor makes tiles of {stated['height']} x {stated.get('width')} pixels; the tower's are "
                f"{side} x {side}, and the graph has one size.",
                "State the tower's size in both files.",
            )
        return said

    def check_genai(self, folder: Path) -> list[str]:
        """Check that the pipeline prepares pictures as the checkpoint's processor does."""
        return internvl_genai.check(folder, self.placeholder)

    def genai_files(self, folder: Path, config: dict[str, Any]) -> dict[str, dict[str, Any]]:
        """Return config.json and preprocessor_config.json as the pipeline takes them."""
        return internvl_genai.changes(folder, config, self.tower.image_size)


def encode(ops: Ops[T], v: InternVision, pixels: T) -> T:
    """Write tower and projector down: pixels float32 [tiles, channels, S, S], normalized, to [tiles, rows of a tile, hidden]."""
    width, side, k = v.tower.hidden_size, v.tower.grid // v.merged, v.merged
    hidden = intern_vit.encode(ops, v.tower, pixels)
    squares = ops.reshape(hidden, [0, side, k, side, k * width])
    rows = ops.reshape(ops.transpose(squares, [0, 1, 3, 2, 4]), [0, side * side, k * k * width])
    normed = ops.layer_norm(rows, f"{PROJECTOR}layer_norm", NORM_EPS)
    inner = ops.activate(ops.linear(normed, f"{PROJECTOR}linear_1", True), v.activation)
    return ops.linear(inner, f"{PROJECTOR}linear_2", True)


def _described(config: Config, vision_config: Config, decoder: Decoder) -> InternVision:
    read, top = Reader(vision_config, DEFAULTS, "vision_config."), Reader(config, TOP)
    taken, strategy = top.get("vision_feature_layer"), top.get("vision_feature_select_strategy")
    if type(taken) is not int:
        raise UnsupportedArchitecture(f"vision_feature_layer is {taken!r}, where one layer's states become rows")
    if strategy != "default":
        raise UnsupportedArchitecture(
            f"vision_feature_select_strategy is {strategy!r}, which leaves no square of patches"
        )
    tower, merged = read_tower(read, TOWER, taken), int(1 / positive(top.get("downsample_ratio"), "downsample_ratio"))
    if not merged or merged * top.get("downsample_ratio") != 1 or tower.grid % merged:
        raise contradicting(f"{tower.grid} x {tower.grid} patches cannot be joined by downsample_ratio")
    return InternVision(
        tower, merged, top.activation("projector_hidden_act"), decoder.hidden_size,
        token_id(config, "image_token_id", decoder), (*read.assumed.values(), *top.assumed.values()),
    )  # fmt: skip


FAMILY = vision_language(
    "internvl",
    "InternVLForConditionalGeneration",
    LanguagePart(),
    VisionPart(
        "internvl",
        title="InternVL",
        prefix=(TOWER, PROJECTOR),
        fields=intern_vit.FIELDS | set(TOP) | {"image_token_id", "image_seq_length"},
        describe=_described,
        mmproj=MMPROJ,
    ),
)
