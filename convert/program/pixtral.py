"""Pixtral's tower: pictures of any size, whose patches turn by their row and by their column.

    pixels [n, channels, height, width] -> patches -> norm -> layers, in which the patches of a picture see each other
    -> [n, patches, width]

Source: `transformers/models/pixtral/modeling_pixtral.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic

import numpy as np

from .ops import Heads, Ops, Rotation, T
from .reading import ACTIVATIONS, Reader, UnsupportedArchitecture, contradicting
from .rope import Rope, read_rope
from .signature import Input
from .vision import Array, Shapes

EPS = 1e-5
"""Of its norms, which no config states."""
FIELDS = frozenset(
    ["image_size", "patch_size", "num_channels", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads",
     "head_dim", "hidden_act", "rope_theta", "rope_parameters", "rope_scaling"]
)  # fmt: skip
"""What is read of a vision_config."""
DEFAULTS = {
    "hidden_size": 1024,
    "intermediate_size": 4096,
    "num_hidden_layers": 24,
    "num_attention_heads": 16,
    "num_channels": 3,
    "image_size": 1024,
    "patch_size": 16,
    "hidden_act": "gelu",
    "rope_theta": 10000.0,
}
"""What `PixtralVisionConfig` takes for a field that is absent."""
_END = 2**63 - 1


@dataclass(frozen=True)
class Tower:
    """Such a transformer.

    Attributes:
        prefix: what the names of its tensors begin with.
        channels: of a pixel.
        patch_size: side of a patch, in pixels.
        hidden_size: width.
        intermediate_size: width inside the MLPs.
        num_layers: that are run.
        idle: layers behind them.
        num_heads: of attention.
        activation: of the MLPs.
        rope: by which heads turn: every other frequency by the row, the others by the column.
    """

    prefix: str
    channels: int
    patch_size: int
    hidden_size: int
    intermediate_size: int
    num_layers: int
    idle: int
    num_heads: int
    activation: str
    rope: Rope

    @property
    def unused(self) -> tuple[str, ...]:
        """Patterns of layers that are stored and not run."""
        return tuple(f"{self.prefix}transformer.layers.{self.num_layers + one}.*" for one in range(self.idle))

    def input(self, name: str) -> Input:
        """Return its input."""
        return Input(name, (-1, self.channels, -1, -1))

    def tensors(self) -> Shapes:
        """Return name and shape of every tensor that is used, in the order in which the graph reads them."""
        width, inner = self.hidden_size, self.intermediate_size
        shapes: Shapes = {
            f"{self.prefix}patch_conv.weight": (width, self.channels, self.patch_size, self.patch_size),
            f"{self.prefix}ln_pre.weight": (width,),
        }
        layer: Shapes = {"attention_norm": (width,)} | {f"attention.{one}_proj": (width, width) for one in "qkvo"}
        layer |= {
            "ffn_norm": (width,),
            "feed_forward.gate_proj": (inner, width),
            "feed_forward.up_proj": (inner, width),
        }
        layer |= {"feed_forward.down_proj": (width, inner)}
        for index in range(self.num_layers):
            prefix = f"{self.prefix}transformer.layers.{index}."
            shapes |= {f"{prefix}{name}.weight": shape for name, shape in layer.items()}
        return shapes


@dataclass(frozen=True)
class Grid(Generic[T]):
    """The patches of pictures of one size, as values of a graph: numbers of rows [h], and of columns [w], int64."""

    rows: T
    columns: T


def encode(ops: Ops[T], v: Tower, pixels: T) -> tuple[T, Grid[T]]:
    """Write the tower down: pixels float32 [n, channels, height, width], normalized, to states [n, h * w, width]."""
    patches = ops.convolution(pixels, f"{v.prefix}patch_conv", v.patch_size, bias=False)
    one = ops.slices(patches, 1, 0, 1)
    found = Grid(ops.count(ops.transpose(one, [2, 0, 1, 3])), ops.count(ops.transpose(one, [3, 0, 1, 2])))
    hidden = ops.rms_norm(ops.rows_of(patches, v.hidden_size), f"{v.prefix}ln_pre", EPS)
    rotation = ops.turned_by(_angles(ops, v, found), v.rope)
    for layer in range(v.num_layers):
        hidden = _layer(ops, v, hidden, f"{v.prefix}transformer.layers.{layer}.", rotation)
    return hidden, found


def joined(states: Array, height: int, width: int, side: int) -> Array:
    """Join squares of patches: states [n * height * width, size] to [rows, size * side * side], number by number of a patch.

    What does not fill a square is left out. `written_joined` writes the same down.
    """
    h, w, size = height // side, width // side, states.shape[-1]
    squares = states.reshape(-1, height, width, size)[:, : h * side, : w * side].reshape(-1, h, side, w, side, size)
    return squares.transpose(0, 1, 3, 5, 2, 4).reshape(-1, size * side * side)


def written_joined(ops: Ops[T], states: T, found: Grid[T], size: int, side: int) -> T:
    """Write the same down for states [n, height * width, size]."""
    inside, one = ops.whole(np.arange(side)), ops.whole(1)
    wide = ops.add(ops.slices(found.columns, 0, -1, _END), one)
    top, left = (
        ops.minus(ops.slices(numbers, 0, side - 1, _END, side), ops.whole(side - 1))
        for numbers in (found.rows, found.columns)
    )
    row = ops.add(ops.unsqueezed(top, [1, 2, 3]), ops.unsqueezed(inside, [0, 1, 3]))
    column = ops.add(ops.unsqueezed(left, [0, 2, 3]), ops.unsqueezed(inside, [0, 1, 2]))
    order = ops.reshape(ops.add(ops.multiply(row, wide), column), [-1])
    squares = ops.reshape(ops.taken(states, order, 1), [-1, side * side, size])
    return ops.reshape(ops.transpose(squares, [0, 2, 1]), [-1, size * side * side])


def _angles(ops: Ops[T], v: Tower, found: Grid[T]) -> T:
    """Compute each patch's angles, [h * w, dim / 2]: by its row, then by its column."""
    frequencies = v.rope.inverse_frequencies()
    nothing = ops.whole(0)
    down, across = ops.unsqueezed(found.rows, [1]), ops.unsqueezed(found.columns, [0])
    places = (ops.add(down, ops.multiply(across, nothing)), ops.add(ops.multiply(down, nothing), across))
    turned = [
        ops.multiply(ops.reshape(ops.real(place), [-1, 1]), ops.floats(frequencies[None, first::2]))
        for first, place in enumerate(places)
    ]
    return ops.concat(turned, 1)


def _layer(ops: Ops[T], v: Tower, hidden: T, prefix: str, rotation: Rotation[T]) -> T:
    normed = ops.rms_norm(hidden, prefix + "attention_norm", EPS)
    hidden = ops.add(hidden, _attention(ops, v, normed, prefix + "attention.", rotation), prefix + "residual")
    normed, inner = ops.rms_norm(hidden, prefix + "ffn_norm", EPS), prefix + "feed_forward."
    gate = ops.activate(ops.linear(normed, inner + "gate_proj", False), v.activation)
    gated = ops.multiply(gate, ops.linear(normed, inner + "up_proj", False))
    return ops.add(hidden, ops.linear(gated, inner + "down_proj", False), prefix + "output")


def _attention(ops: Ops[T], v: Tower, hidden: T, prefix: str, rotation: Rotation[T]) -> T:
    width = v.hidden_size // v.num_heads
    parts = (ops.linear(hidden, f"{prefix}{part}_proj", False) for part in "qkv")
    query, key, value = (ops.heads_first(ops.heads(part, v.num_heads, width)) for part in parts)
    query, key = (ops.rotate(one, rotation, width) for one in (query, key))
    sizes = Heads(v.num_heads, v.num_heads, width)
    context = ops.attention(query, key, value, None, heads=sizes, scale=width**-0.5, name=prefix + "sdpa")
    return ops.linear(context, prefix + "o_proj", False)


def read_tower(read: Reader, prefix: str, taken: int) -> Tower:
    """Read a vision_config.

    Args:
        read: with `DEFAULTS`.
        prefix: what the names of the tower's tensors begin with.
        taken: the states that are its result, behind so many layers; -1: behind all, -2: behind all but the last.

    Raises:
        CheckpointError: a field is missing or damaged, or contradicts another.
        UnsupportedArchitecture: an activation or a kind of rotary embedding that no graph has.
    """
    layers, heads, width = read.layers(), read.size("num_attention_heads"), read.size("hidden_size")
    count = layers + 1 + taken if taken < 0 else taken
    if not 0 <= count <= layers:
        raise contradicting(f"vision_feature_layer is {taken}, and the tower has {layers} layers")
    stated = read.config.get("head_dim")
    if width % heads or width // heads % 4 or stated not in (None, width // heads):
        raise contradicting(f"a tower {width} wide cannot have {heads} heads, each {stated or width // heads} wide")
    rope = read_rope(read, width // heads)
    if rope.kind != "default":
        raise UnsupportedArchitecture(f"a tower whose rotary embedding is scaled, by {rope.kind}")
    return Tower(
        prefix,
        channels=read.size("num_channels"),
        patch_size=read.size("patch_size"),
        hidden_size=width,
        intermediate_size=read.size("intermediate_size"),
        num_layers=count,
        idle=layers - count,
        num_heads=heads,
        activation=read.activation(known=ACTIVATIONS),
        rope=rope,
    )
