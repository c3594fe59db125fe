"""Vision transformers of the SigLIP and CLIP kind: a square picture to a row for each patch.

    pixels [n, channels, S, S] -> patches + places -> layers, in which all patches see each other -> [n, patches, width]

Sources: `transformers/models/siglip/modeling_siglip.py` without the pooling head, `transformers/models/clip/modeling_clip.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ...core.errors import CheckpointError
from .ops import Heads, Ops, T
from .reading import ACTIVATIONS, DAMAGED, QUICK, Reader
from .signature import Input
from .vision import Shapes

CLASS, PLACES = "embeddings.class_embedding", "embeddings.position_embedding.weight"
FIELDS = frozenset(
    ["image_size", "patch_size", "num_channels", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads",
     "layer_norm_eps", "hidden_act"]
)  # fmt: skip
"""What is read of a vision_config."""


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
        clip: a row for the whole picture comes first, patches have no bias, and a norm stands before the layers.
        last_norm: a norm stands behind them.
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
    clip: bool = False
    last_norm: bool = True

    @property
    def grid(self) -> int:
        """Patches along one side."""
        return self.image_size // self.patch_size

    @property
    def rows(self) -> int:
        """Rows that it makes of a picture."""
        return self.grid**2 + self.clip

    @property
    def pixels(self) -> tuple[int, ...]:
        """Shape of a batch of pictures."""
        return (-1, self.channels, self.image_size, self.image_size)

    @property
    def places(self) -> str:
        """The table that says where a patch lies, which is added."""
        return self.prefix + PLACES

    def input(self, name: str) -> Input:
        """Return its input."""
        return Input(name, self.pixels)

    def tensors(self) -> Shapes:
        """Return name and shape of every tensor that is used, in the order in which the graph reads them."""
        width, prefix, shapes = self.hidden_size, self.prefix, Shapes()
        patch = f"{prefix}embeddings.patch_embedding"
        shapes[f"{patch}.weight"] = (width, self.channels, self.patch_size, self.patch_size)
        if self.clip:
            shapes[prefix + CLASS] = (width,)
        else:
            shapes[f"{patch}.bias"] = (width,)
        shapes[self.places] = (self.rows, width)
        if self.clip:
            shapes |= with_bias(f"{prefix}pre_layrnorm", (width,))
        for layer in range(self.num_layers):
            shapes |= {f"{prefix}encoder.layers.{layer}.{name}": shape for name, shape in self._layer().items()}
        return shapes | (with_bias(f"{prefix}post_layernorm", (width,)) if self.last_norm else {})

    def _layer(self) -> Shapes:
        width, inner = self.hidden_size, self.intermediate_size
        shapes = with_bias("layer_norm1", (width,))
        for part in ("q_proj", "k_proj", "v_proj", "out_proj"):
            shapes |= with_bias(f"self_attn.{part}", (width, width))
        shapes |= with_bias("layer_norm2", (width,))
        return shapes | with_bias("mlp.fc1", (inner, width)) | with_bias("mlp.fc2", (width, inner))


def encode(
    ops: Ops[T], v: Tower, pixels: T, *, taken: Sequence[int] = (), places: T | None = None, mask: T | None = None
) -> T:
    """Write the tower down: pixels float32 [n, channels, S, S], normalized, to [n, rows, width].

    Args:
        ops: the format's layers.
        v: the tower.
        pixels: as above.
        taken: numbers of layers whose states are wanted, side by side, 0 for what enters the first; none: those of the last.
        places: int64 [n, rows], where the rows of the table of places that belong to patches are not one after the other.
        mask: what is added to scores; None: all patches see each other.
    """
    patches = ops.convolution(pixels, f"{v.prefix}embeddings.patch_embedding", v.patch_size, bias=not v.clip)
    hidden = ops.rows_of(patches, v.hidden_size)
    if v.clip:
        hidden = ops.in_front(v.prefix + CLASS, hidden, v.hidden_size, pixels)
    hidden = ops.add_stored(hidden, v.places) if places is None else ops.add(hidden, ops.rows(v.places, places))
    if v.clip:
        hidden = ops.layer_norm(hidden, f"{v.prefix}pre_layrnorm", v.eps)
    states = {0: hidden}
    for layer in range(v.num_layers):
        hidden = _layer(ops, v, hidden, f"{v.prefix}encoder.layers.{layer}.", mask)
        states[layer + 1] = hidden
    if taken:
        return states[taken[0]] if len(taken) == 1 else ops.joined([states[number] for number in taken])
    return ops.layer_norm(hidden, f"{v.prefix}post_layernorm", v.eps) if v.last_norm else hidden


def _layer(ops: Ops[T], v: Tower, hidden: T, prefix: str, mask: T | None) -> T:
    normed = ops.layer_norm(hidden, prefix + "layer_norm1", v.eps)
    hidden = ops.add(hidden, _attention(ops, v, normed, prefix + "self_attn.", mask), prefix + "residual")
    normed = ops.layer_norm(hidden, prefix + "layer_norm2", v.eps)
    inner = ops.activate(ops.linear(normed, prefix + "mlp.fc1", True), v.activation)
    return ops.add(hidden, ops.linear(inner, prefix + "mlp.fc2", True), prefix + "output")


def _attention(ops: Ops[T], v: Tower, hidden: T, prefix: str, mask: T | None) -> T:
    width = v.hidden_size // v.num_heads
    query, key, value = (ops.linear_heads(hidden, f"{prefix}{part}_proj", v.num_heads, width) for part in "qkv")
    heads, name = Heads(v.num_heads, v.num_heads, width), prefix + "sdpa"
    if mask is None:
        context = ops.attention_to_all(query, key, value, heads=heads, name=name)
    else:
        query, key, value = map(ops.heads_first, (query, key, value))
        context = ops.attention(query, key, value, mask, heads=heads, scale=width**-0.5, name=name)
    return ops.linear(context, prefix + "out_proj", True)


def read_tower(
    read: Reader, prefix: str, *, layers: int | None = None, clip: bool = False, last_norm: bool = True
) -> Tower:
    """Read a vision_config.

    Args:
        read: with the defaults of its class.
        prefix: what the names of the tower's tensors begin with.
        layers: that are run; None: all.
        clip: as in `Tower`.
        last_norm: as in `Tower`.

    Raises:
        CheckpointError: a field is missing or damaged.
        UnsupportedArchitecture: an activation that no graph has.
    """
    activation = read.activation(known=(*ACTIVATIONS, QUICK))
    made = Tower(
        prefix,
        image_size=read.size("image_size"),
        channels=read.size("num_channels"),
        patch_size=read.size("patch_size"),
        hidden_size=read.size("hidden_size"),
        intermediate_size=read.size("intermediate_size"),
        num_layers=read.layers() if layers is None else layers,
        num_heads=read.size("num_attention_heads"),
        eps=read.number("layer_norm_eps"),
        activation=activation,
        clip=clip,
        last_norm=last_norm,
    )
    if made.hidden_size % made.num_heads or not made.grid:
        raise CheckpointError(
            f"config.json: a tower {made.hidden_size} wide with {made.num_heads} heads over {made.grid} x {made.grid} "
            "patches cannot be.",
            DAMAGED,
        )
    return made


def with_bias(name: str, weight: tuple[int, ...]) -> Shapes:
    """Return the shapes of a module's weight and of its bias."""
    return {f"{name}.weight": weight, f"{name}.bias": weight[:1]}
