"""How llama.cpp's multimodal library knows a vision encoder: what a file mmproj-NAME.gguf of a family holds.

Sources: `tools/mtmd/clip.cpp` of llama.cpp (keys, names, what is loaded), its graphs in `tools/mtmd/models/`, and the classes
`MmprojModel` of its converter (`conversion/`), which writes the same files.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ..gguf_held import Held
from ..gguf_values import Kind, Value, array, boolean, f32, u32
from .piece import WHOLE, Piece, Shape
from .reading import MAX_LAYERS, Config, Reader, UnsupportedArchitecture, wrong

How = Piece | Held
"""How the file has a tensor: a part of the checkpoint's, or its rows in another order."""
Cut = Callable[[str, Shape, Config], Mapping[str, How]]
"""("weight" or "bias", shape in the checkpoint, flat config) → names in the file, and how each is held."""
QUICK = "quick_gelu"
BUDGETS: Mapping[str, tuple[float, str]] = {
    "row_runtime": (4e-3, "attention and products in float16: 4e-4 to 2e-3 over 2 to 4 layers of random weights")
}
_ACTIVATIONS: Mapping[str, tuple[str, ...]] = {
    "gelu": ("gelu", "gelu_pytorch_tanh"), "silu": ("silu", "swish"), "": (QUICK,),
}  # fmt: skip
"""Key behind "clip.use_" (none: the library's default) → transformers' names of what it stands for."""


@dataclass(frozen=True)
class Bare:
    """A tensor that is no module's weight or bias: its name in the file, whole.

    Attributes:
        name: in the file.
        flat: it has dimensions of 1 in front, which the file has not.
        how: it is held, by its shape.
    """

    name: str
    flat: int = 0
    how: Callable[[Shape], How] = lambda shape: WHOLE


Put = str | Bare | Cut
"""Where a module goes: its name in the file, without "weight" or "bias"; or a cut."""


@dataclass(frozen=True)
class Sizes:
    """What every tower has.

    Attributes:
        image: side of a picture, in pixels; of towers that take any size, the one that their positions are made for.
        patch: side of a patch.
        width: of the tower.
        inner: width inside its MLPs, as the file states it.
        layers: that are written.
        heads: of its attention.
        epsilon: of its norms.
        activation: of its MLPs, by transformers' name.
        out: width of the language model.
    """

    image: int
    patch: int
    width: int
    inner: int
    layers: int
    heads: int
    epsilon: float
    activation: str
    out: int


@dataclass(frozen=True)
class Seen:
    """How pictures stand in prompts, and what is done to them before llama.cpp takes them.

    Attributes:
        written: what the model's chat template writes for a picture.
        placeholder: a token that no text holds.
        around: what the model's processor writes before and behind a picture, and llama.cpp does not.
        between: tokens whose rows llama.cpp makes among those of a picture, where the model takes them from its table.
        stretch: Pillow's number of the filter by which the model's processor makes a picture the tower's square; None: it does
            not, and llama.cpp prepares it.
    """

    written: str
    placeholder: str
    around: tuple[str, str] = ("", "")
    between: tuple[str, ...] = ()
    stretch: int | None = None


@dataclass(frozen=True)
class Mmproj:
    """One family's file.

    Attributes:
        kind: llama.cpp's name of the projector.
        sizes: flat config → what every tower has; UnsupportedArchitecture is raised for what the graph lacks.
        layer: what the names of a layer's tensors begin with, before its number.
        before: modules in front of the layers → where they go.
        inner: modules of a layer → where they go, without "v.blk.N.".
        after: modules behind the layers, and the projector's.
        numbered: modules of which there are several, by a pattern with one group → (number, flat config) → where they go.
        processor: folder → what the processor's files state, where they are not of the common form; image_mean and image_std.
        keys: (flat config, what the processor's files state) → further keys, behind "clip.vision.".
        activation: key behind "clip.use_"; None: the one that belongs to the tower's.
        float32: endings of names that are float32 in every file.
        half: endings of names that are at least float16, whatever the matrices are.
        plus: name in the file → what is added.
        language: flat config, folder → tensors of the language model that the file has parts of → name, and which part.
        exchanges: the loader takes the two matrices of an MLP for exchanged where its inner width is the tower's.
        unused: patterns of tensors of the checkpoint that llama.cpp never reads.
        deepstack: flat config → layers whose rows are added to the language model's first ones.
        exact: llama.cpp computes the GELU behind the tower as the model does; else by its table of the tanh form.
        square: flat config → side in pixels of the square for which a table of positions needs no fitting; None: it never does,
            or llama.cpp fits it as the model does.
        budgets: a budget on rows → limit and reason, where the library's graph errs by itself.
        deviations: where the library is not the model, as sentences.
        seen: how pictures stand in prompts; None: a file of GLM-Edge-V's, whose rows its template writes.
    """

    kind: str
    sizes: Callable[[Config], Sizes]
    layer: str
    inner: Mapping[str, Put]
    before: Mapping[str, Put] = field(default_factory=dict)
    after: Mapping[str, Put] = field(default_factory=dict)
    numbered: Mapping[str, Callable[[int, Config], Put]] = field(default_factory=dict)
    processor: Callable[[Path], Config] | None = None
    keys: Callable[[Config, Config], Mapping[str, Value]] = lambda config, processor: {}
    activation: str | None = None
    float32: tuple[str, ...] = ()
    half: tuple[str, ...] = ()
    plus: Mapping[str, float] = field(default_factory=dict)
    language: Callable[[Config, Path], Mapping[str, tuple[str, Piece]]] = lambda config, folder: {}
    exchanges: bool = False
    unused: tuple[str, ...] = ()
    deepstack: Callable[[Config], Sequence[int]] = lambda config: ()
    exact: bool = False
    square: Callable[[Config], int | None] = lambda config: None
    budgets: Mapping[str, tuple[float, str]] = field(default_factory=lambda: BUDGETS)
    deviations: tuple[str, ...] = ()
    seen: Seen | None = None

    def parts(self, source: str, shape: Shape, config: Config) -> Mapping[str, How] | None:
        """Return the tensors of the file that one of the checkpoint becomes; None: it has no place in it.

        Args:
            source: its name, as transformers 5 has it.
            shape: in the checkpoint.
            config: flat.
        """
        if inside := re.fullmatch(re.escape(self.layer) + r"(\d+)\.(.+)", source):
            found = _placed(inside[2], shape, config, self.inner)
            return found and {f"v.blk.{inside[1]}.{name}": piece for name, piece in found.items()}
        for pattern, put in self.numbered.items():
            if matched := re.fullmatch(pattern + r"\.(.+)", source):
                return _placed(f"_.{matched[2]}", shape, config, {"_": put(int(matched[1]), config)})
        return _placed(source, shape, config, {**self.before, **self.after})

    def layer_of(self, source: str) -> int | None:
        """Return the number of the layer that a tensor of the checkpoint belongs to; None: to none."""
        inside = re.match(re.escape(self.layer) + r"(\d+)\.", source)
        return int(inside[1]) if inside else None

    def common_keys(self, sizes: Sizes, processor: Config) -> dict[str, Value]:
        """Return the keys that all such files have, by their whole names."""
        numbers = {
            "image_size": sizes.image,
            "patch_size": sizes.patch,
            "embedding_length": sizes.width,
            "feed_forward_length": sizes.inner,
            "block_count": sizes.layers,
            "projection_dim": sizes.out,
            "attention.head_count": sizes.heads,
        }
        key = activation_key(sizes.activation) if self.activation is None else self.activation
        return {
            **({f"clip.use_{key}": boolean(True)} if key else {}),
            **{f"clip.vision.{name}": u32(value) for name, value in numbers.items()},
            "clip.vision.attention.layer_norm_epsilon": f32(sizes.epsilon),
            **{f"clip.vision.{name}": array(Kind.F32, list(processor[name])) for name in ("image_mean", "image_std")},
        }

    def deep(self, config: Config) -> int:
        """Return how many rows of a picture's token are behind one another: 1, and those of DeepStack."""
        return 1 + len(self.deepstack(config))


def activation_key(name: str) -> str:
    """Return the key behind "clip.use_" by which llama.cpp computes an activation. Raises UnsupportedArchitecture."""
    for key, names in _ACTIVATIONS.items():
        if name in names:
            return key
    raise UnsupportedArchitecture(f"its vision encoder uses {name}, which llama.cpp's towers do not have")


def tower(config: Config, defaults: Config, names: Mapping[str, str] | None = None, **fixed: Any) -> Sizes:
    """Read what every tower has from a flat config's vision_config.

    Args:
        config: flat.
        defaults: what transformers takes for absent fields; those without a default must be stated.
        names: field of `Sizes` → field of vision_config, where it is not the common one.
        fixed: fields of `Sizes` by what they are.

    Raises:
        CheckpointError: a field that is missing or damaged.
    """
    read = Reader(vision_of(config), defaults, "vision_config.")
    fields = {**_FIELDS, **(names or {})}
    made: dict[str, Any] = {
        name: read.size(theirs) for name, theirs in fields.items() if name not in fixed and name not in _OTHER
    }
    if made.get("layers", 0) > MAX_LAYERS:
        raise wrong(f"vision_config.{fields['layers']}", made["layers"], f"at most {MAX_LAYERS:,}")
    if "epsilon" not in fixed:
        made["epsilon"] = read.number(fields["epsilon"])
    if "activation" not in fixed:
        made["activation"] = str(read.get(fields["activation"]))
    return Sizes(**{**made, **fixed}, out=Reader(config, {}).size("hidden_size"))


_FIELDS = {
    "image": "image_size", "patch": "patch_size", "width": "hidden_size", "inner": "intermediate_size",
    "layers": "num_hidden_layers", "heads": "num_attention_heads", "epsilon": "layer_norm_eps", "activation": "hidden_act",
}  # fmt: skip
_OTHER = ("epsilon", "activation")


def vision_of(config: Config) -> dict[str, Any]:
    """Return a config's vision_config."""
    found = config.get("vision_config")
    return dict(found) if isinstance(found, Mapping) else {}


def _placed(name: str, shape: Shape, config: Config, table: Mapping[str, Put]) -> Mapping[str, How] | None:
    put = table.get(name)
    if isinstance(put, Bare):
        return {put.name: Piece(shape=shape[put.flat :]) if put.flat else put.how(shape)}
    module, _, kind = name.rpartition(".")
    put = table.get(module)
    if put is None or isinstance(put, Bare):
        return None
    return {f"{put}.{kind}": WHOLE} if isinstance(put, str) else put(kind, shape, config)


def thirds(*names: str) -> Cut:
    """Return a cut into equal ranges of rows, in the order of the names: fused q, k and v."""

    def cut(kind: str, shape: Shape, config: Config) -> Mapping[str, How]:
        rows = shape[0] // len(names)
        return {f"{name}.{kind}": Piece(taken=(slice(i * rows, (i + 1) * rows),)) for i, name in enumerate(names)}

    return cut


def frames(kind: str, shape: Shape, config: Config) -> Mapping[str, How]:
    """Cut the patches' convolution over two frames into two over one each; its bias is whole.

    Raises:
        UnsupportedArchitecture: it is over another number of frames.
    """
    if kind == "bias":
        return {"v.patch_embd.bias": WHOLE}
    if len(shape) != 5 or shape[2] != 2:
        raise UnsupportedArchitecture(
            f"its patches are convolved as {list(shape)}, and llama.cpp's towers take 2 frames at a time"
        )
    every = slice(None)
    return {f"v.patch_embd.weight{end}": Piece(taken=(every, every, i)) for i, end in enumerate(("", ".1"))}


def neighbors(name: str, heads: str = "num_attention_heads") -> Cut:
    """Return a cut that reorders the rows of each head from halves (i, i + d/2) to neighbors (2i, 2i + 1).

    Args:
        name: in the file.
        heads: field of vision_config that states their number.
    """

    def cut(kind: str, shape: Shape, config: Config) -> Mapping[str, How]:
        count = Reader(vision_of(config), {}, "vision_config.").size(heads)
        seen = (count, 2, shape[0] // count // 2, *shape[1:])
        order = (0, 2, 1, *range(3, len(seen)))
        return {f"{name}.{kind}": Piece(seen=seen, axes=order, shape=shape)}

    return cut


def first_last(shape: Shape) -> Held:
    """Put the first row of a table behind all others: that of a class token, which llama.cpp puts behind the patches."""
    return Held(rows=np.roll(np.arange(shape[-2]), -1))
