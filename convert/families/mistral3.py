"""Mistral 3 (Mistral Small 3.1, Ministral 3): Pixtral's tower over pictures of any size, a merger of patches, and an MLP.

    pixels [n, 3, height, width] -> Pixtral -> norm, [n * patches, width]
    -> squares of patches as one row -> product -> MLP, [rows, hidden]

optimum-intel has the tower and the projector in a graph each, and joins the patches between them.
Source: `transformers/models/mistral3/modeling_mistral3.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..program import pixtral
from ..program.decoder import Decoder
from ..program.ops import Ops, T
from ..program.pixtral import Grid, Tower, read_tower
from ..program.reading import Config, Reader, UnsupportedArchitecture
from ..program.spec import LanguagePart, VisionPart, vision_language
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
)
from ..program.vit import with_bias
from .mistral3_gguf import MMPROJ

TOWER = "model.vision_tower."
PROJECTOR = "model.multi_modal_projector."
NORM, MERGING = f"{PROJECTOR}norm", f"{PROJECTOR}patch_merger.merging_layer"
SIZES = "image_sizes"
TOP = {
    "spatial_merge_size": 2,
    "projector_hidden_act": "gelu",
    "vision_feature_layer": -1,
    "multimodal_projector_bias": False,
}
"""What `Mistral3Config` takes for a field that is absent."""


@dataclass(frozen=True)
class Mistral3Vision(Vision):
    """The tower and the projector behind it.

    Attributes:
        tower: in numbers.
        merged: patches along the side of the square that becomes a row.
        eps: of the norm before the projector: the language model's.
        activation: of the projector.
        bias: its matrices have biases.
        out_size: width of the language model.
        placeholder: `image_token_id`.
        assumed: values that config.json leaves out, as sentences.
    """

    tower: Tower
    merged: int
    eps: float
    activation: str
    bias: bool
    out_size: int
    placeholder: int
    assumed: tuple[str, ...] = ()

    family = "mistral3"

    @property
    def unused(self) -> tuple[str, ...]:
        """Layers behind the one whose states are taken."""
        return self.tower.unused

    @property
    def _tower_tensors(self) -> Shapes:
        return self.tower.tensors() | {f"{NORM}.weight": (self.tower.hidden_size,)}

    @property
    def _projector_tensors(self) -> Shapes:
        width, out = self.tower.hidden_size, self.out_size
        shapes: Shapes = {f"{MERGING}.weight": (width, width * self.merged**2)}
        for name, size in (("linear_1", width), ("linear_2", out)):
            matrix: Shapes = {f"{PROJECTOR}{name}.weight": (out, size)}
            shapes |= with_bias(f"{PROJECTOR}{name}", (out, size)) if self.bias else matrix
        return shapes

    def graphs(self) -> tuple[Graph, ...]:
        """Return tower and projector."""
        width = self.tower.hidden_size
        states = Output(LAST_HIDDEN_STATE, (-1, width))
        first = Graph(
            VISION_EMBEDDINGS, (self.tower.input(PIXELS),), (states,), self._tower_tensors,
            lambda ops, given: [ops.reshape(_normed(ops, self, given[PIXELS])[0], [-1, width])],
            lambda made, _: {PIXELS: _cropped(made)},
        )  # fmt: skip
        second = Graph(
            "multi_modal_projector", (Input("image_features", (-1, width * self.merged**2)),),
            (Output("hidden_states", (-1, self.out_size)),), self._projector_tensors,
            lambda ops, given: [_projected(ops, self, given["image_features"])], self._joined,
        )  # fmt: skip
        return first, second

    def _joined(self, made: Arrays, before: Arrays) -> Mapping[str, Array]:
        height, width = (size // self.tower.patch_size for size in _cropped(made).shape[-2:])
        states = before[f"{VISION_EMBEDDINGS}.{LAST_HIDDEN_STATE}"]
        return {"image_features": pixtral.joined(states, height, width, self.merged)}

    def whole(self) -> Graph:
        """Return both in one."""
        rows = Output(LAST_HIDDEN_STATE, (-1, self.out_size))
        return Graph(
            VISION_EMBEDDINGS, (self.tower.input(PIXELS),), (rows,), self._tower_tensors | self._projector_tensors,
            self._write_all, lambda made, _: {PIXELS: _cropped(made)},
        )  # fmt: skip

    def _write_all(self, ops: Ops[Any], given: Mapping[str, Any]) -> list[Any]:
        states, found = _normed(ops, self, given[PIXELS])
        joined = pixtral.written_joined(ops, states, found, self.tower.hidden_size, self.merged)
        return [_projected(ops, self, joined)]


def _cropped(made: Arrays) -> Array:
    """Return the pixels of a picture [n, channels, height, width], of its own size: behind it there may be filling."""
    pixels = made[PIXELS].reshape(-1, *made[PIXELS].shape[-3:])
    if SIZES not in made:
        return pixels
    height, width = np.asarray(made[SIZES]).reshape(-1, 2)[0].tolist()
    return pixels[..., :height, :width]


def _normed(ops: Ops[T], v: Mistral3Vision, pixels: T) -> tuple[T, Grid[T]]:
    states, found = pixtral.encode(ops, v.tower, pixels)
    return ops.rms_norm(states, NORM, v.eps), found


def _projected(ops: Ops[T], v: Mistral3Vision, rows: T) -> T:
    merged = ops.linear(rows, MERGING, False)
    inner = ops.activate(ops.linear(merged, f"{PROJECTOR}linear_1", v.bias), v.activation)
    return ops.linear(inner, f"{PROJECTOR}linear_2", v.bias)


def _described(config: Config, vision_config: Config, decoder: Decoder) -> Mistral3Vision:
    read, top = Reader(vision_config, pixtral.DEFAULTS, "vision_config."), Reader(config, TOP)
    taken = top.get("vision_feature_layer")
    taken = taken[0] if isinstance(taken, list) and len(taken) == 1 else taken
    if type(taken) is not int:
        raise UnsupportedArchitecture(f"vision_feature_layer is {taken!r}, where one layer's states become rows")
    if vision_config.get("model_type", "pixtral") != "pixtral":
        raise UnsupportedArchitecture(f"the tower {vision_config['model_type']} in the place of Pixtral's")
    key = "image_token_index" if config.get("image_token_index") is not None else "image_token_id"
    return Mistral3Vision(
        read_tower(read, TOWER, taken), top.size("spatial_merge_size"), decoder.rms_norm_eps,
        top.activation("projector_hidden_act"), bool(top.get("multimodal_projector_bias")), decoder.hidden_size,
        token_id(config, key, decoder), (*read.assumed.values(), *top.assumed.values()),
    )  # fmt: skip


FAMILY = vision_language(
    "mistral3",
    "Mistral3ForConditionalGeneration",
    LanguagePart(),
    VisionPart(
        "mistral3",
        title="Mistral 3",
        prefix=(TOWER, PROJECTOR),
        fields=pixtral.FIELDS | set(TOP) | {"image_token_id", "image_token_index"},
        describe=_described,
        mmproj=MMPROJ,
    ),
)
