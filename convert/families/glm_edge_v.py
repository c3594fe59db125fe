"""GLM-Edge-V's vision half: SigLIP tower and adapter in numbers, and the tensors that hold them.

    pixels [n, 3, S, S] -> SigLIP -> conv 2x2, stride 2 -> gated MLP -> begin | rows | end, [n, image_tokens, hidden]

The language model is GLM's (`glm.py`). Such a checkpoint says `model_type: glm`, as the text models do: its tensors tell.
Source of the structure: `modeling.py`; of the int4 scheme: GLM-Edge's `inference/ov_convert/convert_v.py`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ...core.errors import CheckpointError
from ..program import vit
from ..program.decoder import Decoder
from ..program.ops import Ops, T
from ..program.reading import DAMAGED, Config, Reader
from ..program.spec import VisionPart
from ..program.vision import LAST_HIDDEN_STATE, PIXELS, VISION_EMBEDDINGS, Graph, Output, Shapes, Vision, token_id
from ..program.vit import Tower, read_tower, with_bias
from .glm import FAMILY as GLM
from .glm_edge_v_gguf import MMPROJ
from .glm_edge_v_model import files
from .glm_edge_v_model.facts import (
    ADAPTER,
    ADAPTER_GELU,
    ADAPTER_NORM_EPS,
    MODEL_TYPE,
    PROJECTION,
    TOWER,
    UNUSED,
    VISION,
    image_tokens,
)

DEFAULTS = {
    "intermediate_size": 3072,
    "num_channels": 3,
    "layer_norm_eps": 1e-06,
    "hidden_act": "gelu_pytorch_tanh",
}
"""What `SiglipVisionConfig` takes for a field that is absent; the fields that are not here must be stated."""
FIELDS = frozenset(
    [
        *DEFAULTS,
        "image_size",
        "patch_size",
        "hidden_size",
        "num_hidden_layers",
        "num_attention_heads",
        "boi_token_id",
        "eoi_token_id",
    ]
)
"""What is read of config.json and its vision_config beside the language model's fields."""
ALLOWED = tuple(f"{prefix}*" for prefix in UNUSED)
"""Tensors that a checkpoint may hold and the model never reads, as patterns."""
GLM_EDGE_V_INT4 = {"sym": True, "group_size": 64, "ratio": 0.6}
"""What the vendor of GLM-Edge-V compress its language model with."""


@dataclass(frozen=True)
class GlmEdgeVision(Vision):
    """A SigLIP tower and the adapter behind it.

    Attributes:
        tower: in numbers.
        out_size: width of the language model.
        out_intermediate_size: width inside the adapter's MLP.
        adapter_norm_eps: of the adapter's one normalization.
        adapter_activation: behind that normalization.
        placeholder: `boi_token_id`, of which a prompt holds one for each row of a picture.
        assumed: values that config.json leaves out, as sentences.
    """

    tower: Tower
    out_size: int
    out_intermediate_size: int
    adapter_norm_eps: float
    adapter_activation: str
    placeholder: int
    assumed: tuple[str, ...] = ()

    family = MODEL_TYPE

    @property
    def image_tokens(self) -> int:
        """Rows of features a picture, begin and end included."""
        return image_tokens(self.tower.image_size, self.tower.patch_size)

    @property
    def picture_side(self) -> int:
        """Side of the square picture, in pixels."""
        return self.tower.image_size

    @property
    def kept(self) -> frozenset[str]:
        """The table of places."""
        return frozenset([self.tower.places])

    def tensors(self) -> Shapes:
        """Return name and shape of every tensor that is used, in the order in which the graph reads them."""
        width, out, inner = self.tower.hidden_size, self.out_size, self.out_intermediate_size
        shapes = self.tower.tensors() | with_bias(f"{ADAPTER}conv", (out, width, 2, 2))
        shapes[f"{PROJECTION}linear_proj.weight"] = (out, out)
        shapes |= with_bias(f"{PROJECTION}norm1", (out,))
        shapes[f"{PROJECTION}gate_proj.weight"] = (inner, out)
        shapes[f"{PROJECTION}dense_h_to_4h.weight"] = (inner, out)
        shapes[f"{PROJECTION}dense_4h_to_h.weight"] = (out, inner)
        return shapes | {f"{ADAPTER}{row}": (1, 1, out) for row in ("boi", "eoi")}

    def graphs(self) -> tuple[Graph, ...]:
        """Return the one graph."""
        return (self.whole(),)

    def whole(self) -> Graph:
        """Return tower and adapter."""
        rows = Output(LAST_HIDDEN_STATE, (-1, self.image_tokens, self.out_size))
        pixels = self.tower.input(PIXELS)
        return Graph(
            VISION_EMBEDDINGS, (pixels,), (rows,), self.tensors(), lambda ops, given: [encode(ops, self, given[PIXELS])]
        )

    @property
    def wanted(self) -> files.Wanted:
        """What the small files must fit."""
        return files.Wanted(self.tower.image_size, self.tower.patch_size, self.image_tokens, self.placeholder)

    def check_files(self, folder: Path) -> list[str]:
        """Check tokenizer, chat template and preprocessor_config.json against the tower."""
        return files.check(folder, self.wanted)

    def files(self, folder: Path) -> dict[str, dict[str, Any]]:
        """Return the artifact's config files, which name no code of the checkpoint's."""
        return files.written(folder, self.wanted)


def encode(ops: Ops[T], v: GlmEdgeVision, pixels: T) -> T:
    """Write tower and adapter down: pixels float32 [n, channels, S, S], normalized, to [n, image_tokens, hidden]."""
    hidden = vit.encode(ops, v.tower, pixels)
    # each 2 x 2 patches become one row
    grid = ops.convolution(ops.grid_of(hidden, v.tower.hidden_size, v.tower.grid), f"{ADAPTER}conv", 2)
    rows = _project(ops, v, ops.rows_of(grid, v.out_size))
    return ops.between(f"{ADAPTER}boi", rows, f"{ADAPTER}eoi", v.out_size, pixels)


def _project(ops: Ops[T], v: GlmEdgeVision, rows: T) -> T:
    """The adapter's gated MLP, [n, rows, out] -> the same."""
    rows = ops.linear(rows, f"{PROJECTION}linear_proj", False)
    normed = ops.layer_norm(rows, f"{PROJECTION}norm1", v.adapter_norm_eps)
    rows = ops.activate(normed, v.adapter_activation)
    gate = ops.activate(ops.linear(rows, f"{PROJECTION}gate_proj", False), "silu")
    inner = ops.multiply(gate, ops.linear(rows, f"{PROJECTION}dense_h_to_4h", False))
    return ops.linear(inner, f"{PROJECTION}dense_4h_to_h", False)


def _described(config: Config, vision_config: Config, decoder: Decoder) -> GlmEdgeVision:
    read = Reader(vision_config, DEFAULTS, "vision_config.")
    tower = read_tower(read, TOWER)
    made = GlmEdgeVision(
        tower,
        out_size=decoder.hidden_size,
        out_intermediate_size=decoder.intermediate_size,
        adapter_norm_eps=ADAPTER_NORM_EPS,
        adapter_activation="gelu" if ADAPTER_GELU == "none" else "gelu_pytorch_tanh",
        placeholder=token_id(config, "boi_token_id", decoder),
        assumed=(
            *read.assumed.values(),
            f"the adapter's normalization has eps = {ADAPTER_NORM_EPS} (no config states it)",
            f"the adapter's GELU is {'exact' if ADAPTER_GELU == 'none' else 'the tanh form'} (no config states it)",
        ),
    )
    if tower.grid < 2:
        raise CheckpointError(f"config.json: {tower.grid} x {tower.grid} patches cannot be joined by fours.", DAMAGED)
    return made


VISION_PART = VisionPart(
    MODEL_TYPE,
    title="GLM-Edge-V",
    prefix=VISION,
    fields=FIELDS,
    describe=_described,
    int4_default=GLM_EDGE_V_INT4,
    unused_tensors=ALLOWED,
    mmproj=MMPROJ,
)
FAMILY = replace(GLM, model_type=MODEL_TYPE, vision_part=VISION_PART)
"""Its language model is GLM's; `streamed` as such is a checkpoint of `model_type: glm`."""
