"""InternViT: a vision transformer whose layers scale what they add, behind a row for the whole picture.

    pixels [n, channels, S, S] -> row for the whole, patches, places -> layers -> the patches' rows [n, grid * grid, width]

Source: `transformers/models/internvl/modeling_internvl.py`.
"""

from __future__ import annotations

from dataclasses import dataclass

from .ops import Heads, Ops, T
from .reading import ACTIVATIONS, Reader, UnsupportedArchitecture, contradicting, whole
from .signature import Input
from .vision import Shapes
from .vit import with_bias

FIELDS = frozenset(
    ["image_size", "patch_size", "num_channels", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads",
     "layer_norm_eps", "hidden_act", "norm_type", "attention_bias", "use_qk_norm", "use_mean_pooling",
     "use_absolute_position_embeddings", "use_mask_token", "layer_scale_init_value"]
)  # fmt: skip
"""What is read of a vision_config, or only says what training began with."""
QK_EPS = 1e-6
"""Of the norms of queries and keys, which no config states."""
_NORMS = {"layer_norm": False, "rms_norm": True}


@dataclass(frozen=True)
class Tower:
    """Such a transformer.

    Attributes:
        prefix: what the names of its tensors begin with.
        image_size: side of the square picture, in pixels.
        channels: of a pixel.
        patch_size: side of a patch, in pixels.
        hidden_size: width.
        intermediate_size: width inside the MLPs.
        num_layers: that are run.
        num_heads: of attention.
        eps: of the norms.
        activation: of the MLPs.
        rms: the norms of its layers are RMS norms.
        qkv_bias: queries, keys and values have biases.
        qk_norm: queries and keys are normalized over all heads together.
        places: it adds a table of places.
        last_norm: a norm stands behind the layers.
        idle: layers behind those that are run.
    """

    prefix: str
    image_size: int
    channels: int
    patch_size: int
    hidden_size: int
    intermediate_size: int
    num_layers: int
    num_heads: int
    eps: float
    activation: str
    rms: bool
    qkv_bias: bool
    qk_norm: bool
    places: bool
    last_norm: bool
    idle: int = 0

    @property
    def grid(self) -> int:
        """Patches along one side."""
        return self.image_size // self.patch_size

    @property
    def table(self) -> str:
        """The table of places."""
        return f"{self.prefix}embeddings.position_embeddings"

    @property
    def unused(self) -> tuple[str, ...]:
        """Patterns of what is stored and not read: layers that are not run, and the row that training puts in patches' places."""
        layers = (f"{self.prefix}encoder.layer.{self.num_layers + one}.*" for one in range(self.idle))
        norm = () if self.last_norm or not self.idle else (f"{self.prefix}layernorm.*",)
        return (f"{self.prefix}embeddings.mask_token", *layers, *norm)

    def input(self, name: str) -> Input:
        """Return its input."""
        return Input(name, (-1, self.channels, self.image_size, self.image_size))

    def tensors(self) -> Shapes:
        """Return name and shape of every tensor that is used, in the order in which the graph reads them."""
        width, shapes = self.hidden_size, Shapes()
        kernel = (width, self.channels, self.patch_size, self.patch_size)
        shapes |= with_bias(f"{self.prefix}embeddings.patch_embeddings.projection", kernel)
        shapes[f"{self.prefix}embeddings.cls_token"] = (1, 1, width)
        if self.places:
            shapes[self.table] = (1, self.grid**2 + 1, width)
        for layer in range(self.num_layers):
            shapes |= {f"{self.prefix}encoder.layer.{layer}.{name}": shape for name, shape in self._layer().items()}
        return shapes | (with_bias(f"{self.prefix}layernorm", (width,)) if self.last_norm else {})

    def _layer(self) -> Shapes:
        width, inner = self.hidden_size, self.intermediate_size
        shapes = self._norm("layernorm_before")
        for part in "qkv":
            matrix: Shapes = {f"attention.{part}_proj.weight": (width, width)}
            shapes |= with_bias(f"attention.{part}_proj", (width, width)) if self.qkv_bias else matrix
        if self.qk_norm:
            shapes |= {f"attention.{part}_norm.weight": (width,) for part in "qk"}
        shapes |= with_bias("attention.projection_layer", (width, width))
        shapes |= {"lambda_1": (width,)} | self._norm("layernorm_after")
        return (
            shapes
            | with_bias("mlp.fc1", (inner, width))
            | with_bias("mlp.fc2", (width, inner))
            | {"lambda_2": (width,)}
        )

    def _norm(self, name: str) -> Shapes:
        return {f"{name}.weight": (self.hidden_size,)} if self.rms else with_bias(name, (self.hidden_size,))


def encode(ops: Ops[T], v: Tower, pixels: T) -> T:
    """Write the tower down: pixels float32 [n, channels, S, S], normalized, to the patches' rows [n, grid * grid, width]."""
    patches = ops.convolution(pixels, f"{v.prefix}embeddings.patch_embeddings.projection", v.patch_size)
    hidden = ops.rows_of(patches, v.hidden_size)
    hidden = ops.in_front(f"{v.prefix}embeddings.cls_token", hidden, v.hidden_size, pixels)
    if v.places:
        hidden = ops.add_stored(hidden, v.table)
    for layer in range(v.num_layers):
        hidden = _layer(ops, v, hidden, f"{v.prefix}encoder.layer.{layer}.")
    hidden = ops.layer_norm(hidden, f"{v.prefix}layernorm", v.eps) if v.last_norm else hidden
    return ops.slices(hidden, 1, 1, v.grid**2 + 1)


def _layer(ops: Ops[T], v: Tower, hidden: T, prefix: str) -> T:
    made = _attention(ops, v, _norm(ops, v, hidden, prefix + "layernorm_before"), prefix + "attention.")
    hidden = ops.add(hidden, ops.multiply_stored(made, prefix + "lambda_1"), prefix + "residual")
    normed = _norm(ops, v, hidden, prefix + "layernorm_after")
    inner = ops.activate(ops.linear(normed, prefix + "mlp.fc1", True), v.activation)
    made = ops.multiply_stored(ops.linear(inner, prefix + "mlp.fc2", True), prefix + "lambda_2")
    return ops.add(hidden, made, prefix + "output")


def _norm(ops: Ops[T], v: Tower, hidden: T, name: str) -> T:
    return ops.rms_norm(hidden, name, v.eps) if v.rms else ops.layer_norm(hidden, name, v.eps)


def _attention(ops: Ops[T], v: Tower, hidden: T, prefix: str) -> T:
    width = v.hidden_size // v.num_heads
    query, key, value = (ops.linear(hidden, f"{prefix}{part}_proj", v.qkv_bias) for part in "qkv")
    if v.qk_norm:
        query, key = (ops.rms_norm(one, f"{prefix}{part}_norm", QK_EPS) for part, one in (("q", query), ("k", key)))
    parts = (ops.heads(one, v.num_heads, width) for one in (query, key, value))
    context = ops.attention_to_all(*parts, heads=Heads(v.num_heads, v.num_heads, width), name=prefix + "sdpa")
    return ops.linear(context, prefix + "projection_layer", True)


def read_tower(read: Reader, prefix: str, taken: int) -> Tower:
    """Read a vision_config.

    Args:
        read: with the defaults of its class.
        prefix: what the names of the tower's tensors begin with.
        taken: the states that are its result, behind so many layers; -1: behind all, -2: behind all but the last.

    Raises:
        CheckpointError: a field is missing or damaged, or contradicts another.
        UnsupportedArchitecture: an activation or a norm that no graph has.
    """
    norm, layers = str(read.get("norm_type")), read.layers()
    if norm not in _NORMS:
        raise UnsupportedArchitecture(f"the norm {norm!r} is not one of {', '.join(_NORMS)}")
    count = layers + 1 + taken if taken < 0 else taken
    if not 0 <= count <= layers:
        raise contradicting(f"vision_feature_layer is {taken}, and the tower has {layers} layers")
    made = Tower(
        prefix,
        image_size=_side(read, "image_size"),
        channels=read.size("num_channels"),
        patch_size=_side(read, "patch_size"),
        hidden_size=read.size("hidden_size"),
        intermediate_size=read.size("intermediate_size"),
        num_layers=count,
        num_heads=read.size("num_attention_heads"),
        eps=read.number("layer_norm_eps"),
        activation=read.activation(known=ACTIVATIONS),
        rms=_NORMS[norm],
        qkv_bias=bool(read.get("attention_bias")),
        qk_norm=bool(read.get("use_qk_norm")),
        places=bool(read.get("use_absolute_position_embeddings")),
        last_norm=taken == -1 and not read.get("use_mean_pooling"),
        idle=layers - count,
    )
    if made.hidden_size % made.num_heads or not made.grid:
        raise contradicting(
            f"a tower {made.hidden_size} wide with {made.num_heads} heads over {made.grid} x {made.grid} patches cannot be"
        )
    return made


def _side(read: Reader, key: str) -> int:
    """Read the side of a square, which is one number or twice the same. Raises UnsupportedArchitecture for another rectangle."""
    value = read.get(key)
    if not isinstance(value, list | tuple):
        return read.size(key)
    sides = {whole(side, f"vision_config.{key}") for side in value}
    if len(value) != 2 or len(sides) != 1:
        raise UnsupportedArchitecture(f"{key} is {value}, not a square")
    return sides.pop()
