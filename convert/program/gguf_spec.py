"""How llama.cpp knows a family: its architecture, keys and names in both directions, and what its graph has built in."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from ..gguf_held import Held
from ..gguf_values import Value
from .decoder import Decoder
from .reading import Config, UnsupportedArchitecture

_GELU = "llama.cpp takes GELU from a table of float16: 0.009 was measured"
GELU_BUDGETS: Mapping[str, tuple[float, str]] = {"conversion": (0.02, _GELU), "long_context": (0.02, _GELU)}
"""Of graphs in which llama.cpp computes GELU."""


class GgufTensors(Protocol):
    """A GGUF whose config.json is made: its tensors by name."""

    @property
    def tensors(self) -> Collection[str]:
        """Names of all tensors."""


class GgufKeys(Protocol):
    """The keys of its architecture, without "ARCH." in front, checked as they are read."""

    def get(self, key: str) -> Any:
        """Return the value as it stands; None if there is none."""

    def size(self, key: str, default: int | None = None) -> int:
        """Return a positive whole number. Raises CheckpointError."""

    def number(self, key: str, default: float | None = None) -> float:
        """Return a positive number. Raises CheckpointError."""


@dataclass(frozen=True)
class Stretch:
    """How a model stretches its positions in GGUF: keys (without "ARCH."), and float32 tensors of factors by their names."""

    keys: Mapping[str, Value] = field(default_factory=dict)
    factors: Mapping[str, npt.NDArray[np.float32]] = field(default_factory=dict)


def nothing(*_: Any) -> dict[str, Any]:
    """Declare nothing beside what all families have."""
    return {}


@dataclass(frozen=True)
class Gguf:
    """How llama.cpp knows the family: keys and names forwards, config.json backwards.

    Attributes:
        arch: general.architecture.
        arch_of: decoder → general.architecture, where not all of the family have the same.
        activation: the one that llama.cpp's graph has built in.
        square_heads: llama.cpp's loader takes heads * head_dim == hidden_size for granted.
        permute_qk: llama.cpp rotates neighboring pairs where transformers rotates halves: rows of q and k are reordered.
        rope_factors: llama.cpp's graph takes a factor for each frequency (Llama 3's scaling).
        output_bias: llama.cpp loads a bias of the output projection.
        windows: llama.cpp's graph has the sliding windows; without them the context is capped at a window's width.
        norm_offset: what the checkpoint leaves out of the weights of its norms.
        names: modules of a block, or tensors that are no module's, and the last norm → llama.cpp's names, where they are not the
            common ones.
        keys_of_all: llama.cpp loads the projections of keys and values of layers that read those of another, too.
        held: decoder → for tensors by their names behind a layer's prefix, how the file holds them otherwise.
        split: decoder → for tensors that the file holds in several, by their names behind a layer's prefix: how it holds each of
            these, by their names in the block.
        skipped_tensors: patterns of tensors in the checkpoint that belong to no language model.
        flatten: config → the config of the layers whose rope the file's keys state, for families with several.
        keys: (config, decoder) → keys beside the common ones, without "ARCH." in front; UnsupportedArchitecture is raised for
            what llama.cpp's graph lacks.
        stretch: (config, decoder, context) → the family's own form of rope scaling; None: the common ones.
        notes: keys → sentences for the plan.
        is_70b: llama.cpp's mix of types takes it for the 70B model of its architecture.
        reads: keys of a file that `to_config` reads beside the common ones.
        rope_base: what llama.cpp takes where a file states no rope.freq_base.
        to_config: a file's tensors and keys → the family's own fields of config.json.
        readable: a file of it can be the source of a conversion.
        budgets: a check's budget → limit and reason, where llama.cpp's graph of this architecture errs by itself.
        width_as_context: llama.cpp's own converter may state the width as the length of the context.
    """

    arch: str
    arch_of: Callable[[Decoder], str] | None = None
    activation: str = "silu"
    square_heads: bool = False
    permute_qk: bool = False
    rope_factors: bool = False
    output_bias: bool = True
    windows: bool = False
    norm_offset: float = 0.0
    names: Mapping[str, str] = field(default_factory=dict)
    keys_of_all: bool = False
    held: Callable[[Decoder], Mapping[str, Held]] = nothing
    split: Callable[[Decoder], Mapping[str, Mapping[str, Held]]] = nothing
    skipped_tensors: tuple[str, ...] = ()
    flatten: Callable[[Config], Config] = lambda config: config
    keys: Callable[[Config, Decoder], Mapping[str, Value]] = nothing
    stretch: Callable[[Config, Decoder, int], Stretch | None] = lambda config, decoder, context: None
    notes: Callable[[Mapping[str, Value]], tuple[str, ...]] = lambda keys: ()
    is_70b: Callable[[Decoder], bool] = lambda decoder: False
    reads: frozenset[str] = frozenset()
    rope_base: float = 10_000.0
    to_config: Callable[[GgufTensors, GgufKeys], Mapping[str, Any]] = nothing
    readable: bool = True
    budgets: Mapping[str, tuple[float, str]] = field(default_factory=dict)
    width_as_context: bool = False


def require_tied(config: Config, decoder: Decoder) -> dict[str, Value]:
    """Return no keys. Raises UnsupportedArchitecture for biases, or for a head that is not the table of embeddings."""
    if not decoder.tied or decoder.qkv_bias or decoder.output_bias:
        raise UnsupportedArchitecture("it has biases, or a head of its own, which llama.cpp does not load here")
    return {}
