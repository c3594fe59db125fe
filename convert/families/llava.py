"""LLaVA: CLIP or SigLIP, of which an inner layer's states are taken, and two products. Source: `transformers/models/llava/`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..program import vit
from ..program.decoder import Decoder
from ..program.reading import ACTIVATIONS, Config, Reader, UnsupportedArchitecture, wrong
from ..program.spec import LanguagePart, VisionPart, vision_language
from ..program.vision import LAST_HIDDEN_STATE, PIXELS, VISION_EMBEDDINGS, Graph, Output, Shapes, Vision, token_id
from ..program.vit import Tower, read_tower, with_bias
from .llava_gguf import MMPROJ

TOWER = "model.vision_tower.vision_model."
PROJECTOR = "model.multi_modal_projector."
SIZES = {
    "image_size": 224,
    "num_channels": 3,
    "hidden_size": 768,
    "intermediate_size": 3072,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
}
CLIP = SIZES | {"patch_size": 32, "layer_norm_eps": 1e-05, "hidden_act": "quick_gelu"}
SIGLIP = SIZES | {"patch_size": 16, "layer_norm_eps": 1e-06, "hidden_act": "gelu_pytorch_tanh"}
TOWERS = {"clip_vision_model": CLIP, "siglip_vision_model": SIGLIP}
"""Kinds of towers → what transformers takes for fields that are absent."""
DEFAULTS = {
    "projector_hidden_act": "gelu",
    "vision_feature_select_strategy": "default",
    "vision_feature_layer": -2,
    "multimodal_projector_bias": True,
}
"""The same of the model's own fields."""
TEXT = {
    "hidden_size": 4096,
    "intermediate_size": 11008,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "vocab_size": 32000,
}
"""What `LlamaConfig` and `MistralConfig` take for sizes, which the first checkpoints leave out."""


@dataclass(frozen=True)
class LlavaVision(Vision):
    """A tower and the projector behind it.

    Attributes:
        family: the model_type.
        tower: in numbers.
        taken: numbers of layers whose states are taken.
        patches_only: the row for the whole picture is left out.
        activation: between the projector's products.
        bias: these have biases.
        out_size: width of the language model.
        placeholder: `image_token_id`.
        idle: layers of the tower behind those that are taken.
        assumed: values that config.json leaves out, as sentences.
    """

    family: str
    tower: Tower
    taken: tuple[int, ...]
    patches_only: bool
    activation: str
    bias: bool
    out_size: int
    placeholder: int
    idle: int = 0
    assumed: tuple[str, ...] = ()

    @property
    def each(self) -> int:
        """Rows of a square picture."""
        return self.tower.rows - self.patches_only

    @property
    def image_tokens(self) -> int | None:
        """Rows of a picture."""
        return self.each

    @property
    def picture_side(self) -> int:
        """Side of the square picture, in pixels."""
        return self.tower.image_size

    @property
    def kept(self) -> frozenset[str]:
        """The table of places."""
        return frozenset([self.tower.places])

    @property
    def unused(self) -> tuple[str, ...]:
        """The layers behind those that are taken, and the norm and the head behind them."""
        names = [f"encoder.layers.{self.tower.num_layers + one}.*" for one in range(self.idle)]
        return tuple(f"{TOWER}{name}" for name in ("post_layernorm.*", "head.*", "embeddings.position_ids", *names))

    def graphs(self) -> tuple[Graph, ...]:
        """Return the one graph."""
        return (self.whole(),)

    def whole(self) -> Graph:
        """Return tower and projector."""
        rows = Output(LAST_HIDDEN_STATE, (-1, self.each, self.out_size))
        return Graph(VISION_EMBEDDINGS, (self.tower.input(PIXELS),), (rows,), self._tensors(), self._write)

    def _tensors(self) -> Shapes:
        width, out = self.tower.hidden_size * len(self.taken), self.out_size
        shapes = self.tower.tensors() | with_bias(f"{PROJECTOR}linear_1", (out, width))
        shapes |= with_bias(f"{PROJECTOR}linear_2", (out, out))
        return {name: shape for name, shape in shapes.items() if self.bias or not _bias(name)}

    def _write(self, ops: Any, given: Mapping[str, Any]) -> list[Any]:
        hidden = vit.encode(ops, self.tower, given[PIXELS], taken=self.taken)
        if self.patches_only:
            hidden = ops.slices(hidden, 1, 1, self.tower.rows)
        hidden = ops.activate(ops.linear(hidden, f"{PROJECTOR}linear_1", self.bias), self.activation)
        return [ops.linear(hidden, f"{PROJECTOR}linear_2", self.bias)]


def _bias(name: str) -> bool:
    return name.startswith(PROJECTOR) and name.endswith(".bias")


def fields_of(family: str, config: Config, vision_config: Config, decoder: Decoder) -> dict[str, Any]:
    """Read what a `LlavaVision` is made of."""
    kind = vision_config.get("model_type", "clip_vision_model")
    if kind not in TOWERS:
        raise UnsupportedArchitecture(f"its vision encoder is a {kind}, not one of {', '.join(TOWERS)}")
    read, top = Reader(vision_config, TOWERS[kind], "vision_config."), Reader(config, DEFAULTS)
    count = read.layers()
    taken = _layers(top.get("vision_feature_layer"), count)
    strategy = top.get("vision_feature_select_strategy")
    if strategy not in ("default", "full"):
        raise wrong("vision_feature_select_strategy", strategy, '"default" or "full"')
    key = "image_token_id" if config.get("image_token_id") is not None else "image_token_index"
    tower = read_tower(read, TOWER, layers=max(taken), clip=kind == "clip_vision_model", last_norm=False)
    return {
        "family": family,
        "tower": tower,
        "taken": taken,
        "patches_only": strategy == "default",
        "activation": top.activation("projector_hidden_act", known=ACTIVATIONS),
        "bias": bool(top.get("multimodal_projector_bias")),
        "out_size": decoder.hidden_size,
        "placeholder": token_id(config, key, decoder),
        "idle": count - max(taken),
        "assumed": (*read.assumed.values(), *top.assumed.values()),
    }


def _layers(stated: Any, count: int) -> tuple[int, ...]:
    each = stated if isinstance(stated, (list, tuple)) else [stated]
    if not each or not all(type(one) is int and -count <= one <= count for one in each):
        raise wrong("vision_feature_layer", stated, f"numbers of {count} layers")
    return tuple(one if one >= 0 else count + 1 + one for one in each)


def text_config(config: Config) -> Config:
    """Return what the language model reads: with the sizes that the first checkpoints leave out."""
    return {name: value for name, value in TEXT.items() if config.get(name) is None} | {
        name: value for name, value in config.items() if value is not None or name not in TEXT
    }


FIELDS = vit.FIELDS | frozenset(DEFAULTS) | {"image_token_id", "image_token_index", "image_seq_length", "pad_token_id"}
FAMILY = vision_language(
    "llava",
    "LlavaForConditionalGeneration",
    LanguagePart(None, text_config),
    VisionPart(
        "llava",
        title="LLaVA",
        mmproj=MMPROJ,
        prefix=("model.vision_tower.", PROJECTOR),
        fields=FIELDS,
        describe=lambda config, vision_config, decoder: LlavaVision(
            **fields_of("llava", config, vision_config, decoder)
        ),
    ),
)
