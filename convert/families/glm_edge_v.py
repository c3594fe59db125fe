"""GLM-Edge-V's vision half: SigLIP tower and adapter in numbers, and the tensors that hold them.

    pixels [n, 3, S, S] -> SigLIP -> conv 2x2, stride 2 -> gated MLP -> begin | rows | end, [n, image_tokens, hidden]

The language model is GLM's (`glm.py`). Such a checkpoint says `model_type: glm`, as the text models do: its tensors tell.
Source of the structure: `modeling.py`; of the int4 scheme: GLM-Edge's `inference/ov_convert/convert_v.py`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from ...core.errors import CheckpointError
from ..program.decoder import Decoder
from ..program.reading import DAMAGED, Config, Reader, UnsupportedArchitecture
from ..program.spec import VisionPart
from .glm import FAMILY as GLM
from .glm_edge_v_model.facts import (
    ADAPTER_GELU,
    ADAPTER_NORM_EPS,
    MODEL_TYPE,
    UNUSED,
    VISION,
    image_tokens,
    is_glm_edge_v,
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
TOWER = VISION + "vit.model.vision_model."
ADAPTER = VISION + "adapter."
PROJECTION = ADAPTER + "linear_proj."
Shapes = dict[str, tuple[int, ...]]


@dataclass(frozen=True)
class Vision:
    """A SigLIP tower and the adapter behind it.

    Attributes:
        image_size: side of the square picture, in pixels.
        channels: of a pixel.
        patch_size: side of a patch, in pixels.
        hidden_size: width of the tower.
        intermediate_size: width inside the tower's MLPs.
        num_layers: of the tower.
        num_heads: of the tower's attention.
        layer_norm_eps: of the tower.
        activation: of the tower's MLPs.
        out_size: width of the language model.
        out_intermediate_size: width inside the adapter's MLP.
        adapter_norm_eps: of the adapter's one normalization.
        adapter_activation: behind that normalization.
        boi_token_id: the placeholder, of which a prompt holds one for each row of a picture.
        assumed: values that config.json leaves out, as sentences.
    """

    image_size: int
    channels: int
    patch_size: int
    hidden_size: int
    intermediate_size: int
    num_layers: int
    num_heads: int
    layer_norm_eps: float
    activation: str
    out_size: int
    out_intermediate_size: int
    adapter_norm_eps: float
    adapter_activation: str
    boi_token_id: int
    assumed: tuple[str, ...] = ()

    family = MODEL_TYPE

    @property
    def grid(self) -> int:
        """Patches along one side."""
        return self.image_size // self.patch_size

    @property
    def image_tokens(self) -> int:
        """Rows of features a picture, begin and end included."""
        return image_tokens(self.image_size, self.patch_size)

    @property
    def head_dim(self) -> int:
        """Width of one of the tower's heads."""
        return self.hidden_size // self.num_heads

    def tensors(self) -> Shapes:
        """Return name and shape of every tensor that is used, in the order in which the graph reads them."""
        width, out, inner = self.hidden_size, self.out_size, self.out_intermediate_size
        shapes: Shapes = {
            f"{TOWER}embeddings.patch_embedding.weight": (width, self.channels, self.patch_size, self.patch_size),
            f"{TOWER}embeddings.patch_embedding.bias": (width,),
            f"{TOWER}embeddings.position_embedding.weight": (self.grid**2, width),
        }
        for layer in range(self.num_layers):
            shapes |= {f"{TOWER}encoder.layers.{layer}.{name}": shape for name, shape in self._layer().items()}
        shapes |= _with_bias(f"{TOWER}post_layernorm", (width,))
        shapes |= _with_bias(f"{ADAPTER}conv", (out, width, 2, 2))
        shapes[f"{PROJECTION}linear_proj.weight"] = (out, out)
        shapes |= _with_bias(f"{PROJECTION}norm1", (out,))
        shapes[f"{PROJECTION}gate_proj.weight"] = (inner, out)
        shapes[f"{PROJECTION}dense_h_to_4h.weight"] = (inner, out)
        shapes[f"{PROJECTION}dense_4h_to_h.weight"] = (out, inner)
        shapes |= {f"{ADAPTER}{row}": (1, 1, out) for row in ("boi", "eoi")}
        return shapes

    def _layer(self) -> Shapes:
        width, inner = self.hidden_size, self.intermediate_size
        shapes = _with_bias("layer_norm1", (width,))
        for part in ("q_proj", "k_proj", "v_proj", "out_proj"):
            shapes |= _with_bias(f"self_attn.{part}", (width, width))
        shapes |= _with_bias("layer_norm2", (width,))
        return shapes | _with_bias("mlp.fc1", (inner, width)) | _with_bias("mlp.fc2", (width, inner))


def vision(config: Config, names: Iterable[str], decoder: Decoder) -> Vision | None:
    """Describe the vision half of a checkpoint, or return None if its tensors say that it has none.

    Args:
        config: config.json, parsed.
        names: of all tensors.
        decoder: the language model.

    Raises:
        CheckpointError: config and tensors contradict each other, or the tower is not SigLIP as we know it.
    """
    has_tensors = is_glm_edge_v(config, names)
    described = config.get("vision_config")
    if not has_tensors:
        if described is not None or config["model_type"] == MODEL_TYPE:
            raise CheckpointError(
                f"config.json describes a GLM-Edge-V, but no tensor's name begins with {VISION}",
                "A shard is missing. To convert the language model alone, take vision_config out of config.json.",
            )
        return None
    if not isinstance(described, dict):
        raise CheckpointError(
            f"The checkpoint has tensors {VISION}*, but its config.json has no vision_config.",
            "It is the text model's, or of another revision than the weights; download all files again.",
        )
    return _read(config, described, decoder)


def _read(config: Config, described: dict[str, Any], decoder: Decoder) -> Vision:
    top, read = Reader(config, {}), Reader(described, DEFAULTS, "vision_config.")
    try:
        activation = read.activation()
    except UnsupportedArchitecture as reason:
        raise CheckpointError(f"The vision tower cannot be converted: {reason}.", DAMAGED) from reason
    boi = top.get("boi_token_id")
    if type(boi) is not int or not 0 <= boi < decoder.vocab_size:
        raise CheckpointError(
            f"config.json: boi_token_id is {boi!r}, not an id of {decoder.vocab_size} tokens.", DAMAGED
        )
    made = Vision(
        image_size=read.size("image_size"),
        channels=read.size("num_channels"),
        patch_size=read.size("patch_size"),
        hidden_size=read.size("hidden_size"),
        intermediate_size=read.size("intermediate_size"),
        num_layers=read.layers(),
        num_heads=read.size("num_attention_heads"),
        layer_norm_eps=read.number("layer_norm_eps"),
        activation=activation,
        out_size=decoder.hidden_size,
        out_intermediate_size=decoder.intermediate_size,
        adapter_norm_eps=ADAPTER_NORM_EPS,
        adapter_activation="gelu" if ADAPTER_GELU == "none" else "gelu_pytorch_tanh",
        boi_token_id=boi,
        assumed=(
            *read.assumed.values(),
            f"the adapter's normalization has eps = {ADAPTER_NORM_EPS} (no config states it)",
            f"the adapter's GELU is {'exact' if ADAPTER_GELU == 'none' else 'the tanh form'} (no config states it)",
        ),
    )
    if made.hidden_size % made.num_heads or made.grid < 2:
        raise CheckpointError(
            f"config.json: a tower {made.hidden_size} wide with {made.num_heads} heads over {made.grid} x {made.grid} "
            "patches cannot be.",
            "The file is damaged; download it again.",
        )
    return made


def _with_bias(name: str, weight: tuple[int, ...]) -> Shapes:
    return {f"{name}.weight": weight, f"{name}.bias": weight[:1]}


VISION_PART = VisionPart(
    MODEL_TYPE,
    title="GLM-Edge-V",
    prefix=VISION,
    fields=FIELDS,
    describe=vision,
    int4_default=GLM_EDGE_V_INT4,
    unused_tensors=ALLOWED,
)
FAMILY = replace(GLM, model_type=MODEL_TYPE, vision_part=VISION_PART)
"""Its language model is GLM's; `streamed` as such is a checkpoint of `model_type: glm`."""
