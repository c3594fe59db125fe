"""What a decoder-only transformer of the Llama kind is, in numbers: all that the graph builder needs to know.

A family file reads these numbers from config.json. A checkpoint whose mathematics this description cannot express is
refused with `NotExpressible`, and the trace engine takes it.
"""

from __future__ import annotations

import math
import reprlib
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from ...core.errors import CheckpointError

ACTIVATIONS = ("silu", "gelu", "gelu_pytorch_tanh")
DAMAGED = "The file is damaged or another model's; download it again."
_SYNONYMS = {"swish": "silu", "gelu_new": "gelu_pytorch_tanh", "gelu_fast": "gelu_pytorch_tanh"}


_SCALED_BY = {
    "default": (),
    "linear": ("factor",),
    "llama3": ("factor", "low_freq_factor", "high_freq_factor", "original_max_position_embeddings"),
}
"""Kinds of rotary embeddings, and the numbers that each needs."""


MAX_LAYERS = 10_000
"""Far more than any model has, and few enough to list."""


class NotExpressible(Exception):  # noqa: N818 - a reason to take the other engine, not an error
    """Why the stream engine's block cannot express a checkpoint; the trace engine can still take it."""


@dataclass(frozen=True)
class Rope:
    """Rotary position embedding of one head.

    Attributes:
        theta: base of the frequencies.
        dim: dimensions of each head that are rotated; the rest passes through.
        interleaved: pairs are neighbours (2i, 2i+1), as in GLM; else halves (i, i + dim/2), as in Llama.
        scaling: parameters of a scaled kind ("linear", "llama3"), empty for the default.
    """

    theta: float
    dim: int
    interleaved: bool = False
    scaling: dict[str, Any] = field(default_factory=dict)

    def inverse_frequencies(self) -> npt.NDArray[np.float32]:
        """Return float32 [dim / 2], as `transformers.modeling_rope_utils` computes them.

        The power is taken in float64 and rounded: numpy's float32 power is off by some units in the last place, which position
        4,000 multiplies into a visible error of the angle, and it differs between machines.

        Raises:
            CheckpointError: the parameters of the scaling contradict each other.
        """
        with np.errstate(all="ignore"):
            frequencies = self._inverse_frequencies()
        if not np.isfinite(frequencies).all():
            raise _contradicting(
                f"the rotary embedding's {self.scaling or self.theta} gives frequencies that are no numbers"
            )
        return frequencies

    def _inverse_frequencies(self) -> npt.NDArray[np.float32]:
        exponents = (np.arange(0, self.dim, 2, dtype=np.float32) / np.float32(self.dim)).astype(np.float64)
        frequencies = (np.float32(1.0) / np.power(self.theta, exponents).astype(np.float32)).astype(np.float32)
        kind = self.scaling.get("rope_type", "default")
        if kind == "linear":
            return (frequencies / np.float32(self.scaling["factor"])).astype(np.float32)
        if kind == "llama3":
            return _llama3(frequencies, self.scaling)
        return frequencies


def _llama3(frequencies: npt.NDArray[np.float32], scaling: dict[str, Any]) -> npt.NDArray[np.float32]:
    """Llama 3.1's scaling by wavelength: long ones divided by `factor`, middle ones blended."""
    factor, low, high = (np.float32(scaling[k]) for k in ("factor", "low_freq_factor", "high_freq_factor"))
    context = np.float32(scaling["original_max_position_embeddings"])
    wavelength = np.float32(2 * math.pi) / frequencies
    scaled = np.where(wavelength > context / low, frequencies / factor, frequencies)
    smooth = (context / wavelength - low) / (high - low)
    blended = (1 - smooth) * scaled / factor + smooth * scaled
    middle = (wavelength >= context / high) & (wavelength <= context / low)
    return np.where(middle, blended, scaled).astype(np.float32)


@dataclass(frozen=True)
class Decoder:
    """One decoder: sizes, rope, and which of the optional parts its block has.

    Tensor names are transformers': model.embed_tokens, model.layers.N.{self_attn,mlp,…}, model.norm, lm_head.
    """

    family: str
    vocab_size: int
    hidden_size: int
    intermediate_size: int
    num_layers: int
    num_heads: int
    num_kv_heads: int
    head_dim: int
    rms_norm_eps: float
    rope: Rope
    activation: str = "silu"
    qkv_bias: bool = False
    output_bias: bool = False
    mlp_bias: bool = False
    qk_norm: bool = False
    fused_qkv: bool = False
    fused_gate_up: bool = False
    tied: bool = False
    assumed: tuple[str, ...] = ()
    """Values absent from config.json that change the mathematics, as "key = default" sentences."""

    def __post_init__(self) -> None:
        """Raise CheckpointError for numbers that contradict each other."""
        if self.num_heads % self.num_kv_heads:
            raise _contradicting(f"{self.num_heads} heads cannot share {self.num_kv_heads} keys evenly")
        if self.rope.dim % 2 or not 0 < self.rope.dim <= self.head_dim:
            raise _contradicting(f"{self.rope.dim} of the {self.head_dim} dimensions of a head are to be rotated")

    @property
    def q_size(self) -> int:
        """Rows of the query projection."""
        return self.num_heads * self.head_dim

    @property
    def kv_size(self) -> int:
        """Rows of the key projection, and of the value projection."""
        return self.num_kv_heads * self.head_dim

    def tensors(self) -> dict[str, tuple[int, ...]]:
        """Return name and shape of every tensor that the block uses, in the order in which the graph reads them."""
        shapes: dict[str, tuple[int, ...]] = {"model.embed_tokens.weight": (self.vocab_size, self.hidden_size)}
        for layer in range(self.num_layers):
            shapes.update({f"model.layers.{layer}.{name}": shape for name, shape in self._layer().items()})
        shapes["model.norm.weight"] = (self.hidden_size,)
        if not self.tied:
            shapes["lm_head.weight"] = (self.vocab_size, self.hidden_size)
        return shapes

    def _layer(self) -> dict[str, tuple[int, ...]]:
        hidden, q, kv, inner = self.hidden_size, self.q_size, self.kv_size, self.intermediate_size
        shapes: dict[str, tuple[int, ...]] = {"input_layernorm.weight": (hidden,)}
        parts = {"qkv": q + 2 * kv} if self.fused_qkv else {"q": q, "k": kv, "v": kv}
        for part, rows in parts.items():
            shapes[f"self_attn.{part}_proj.weight"] = (rows, hidden)
            if self.qkv_bias:
                shapes[f"self_attn.{part}_proj.bias"] = (rows,)
        if self.qk_norm:
            shapes |= {"self_attn.q_norm.weight": (self.head_dim,), "self_attn.k_norm.weight": (self.head_dim,)}
        shapes["self_attn.o_proj.weight"] = (hidden, q)
        if self.output_bias:
            shapes["self_attn.o_proj.bias"] = (hidden,)
        shapes["post_attention_layernorm.weight"] = (hidden,)
        for part, rows in ({"gate_up": 2 * inner} if self.fused_gate_up else {"gate": inner, "up": inner}).items():
            shapes[f"mlp.{part}_proj.weight"] = (rows, hidden)
            if self.mlp_bias:
                shapes[f"mlp.{part}_proj.bias"] = (rows,)
        shapes["mlp.down_proj.weight"] = (hidden, inner)
        if self.mlp_bias:
            shapes["mlp.down_proj.bias"] = (hidden,)
        return shapes


def whole(value: Any, name: str) -> int:
    """Return a positive whole number of config.json. Raises CheckpointError if it is none."""
    if type(value) is not int or not 0 < value < 2**31:
        raise wrong(name, value, "a positive whole number")
    return value


def positive(value: Any, name: str) -> float:
    """Return a positive number of config.json, at most as large as float32 holds. Raises CheckpointError if it is none."""
    if type(value) not in (int, float) or not 0 < value < 3e38:
        raise wrong(name, value, "a positive number")
    return float(value)


def _contradicting(what: str) -> CheckpointError:
    return CheckpointError(f"config.json: {what}.", DAMAGED)


def wrong(name: str, value: Any, wanted: str) -> CheckpointError:
    """Return the error for a value of config.json that is not of its kind."""
    return CheckpointError(f"config.json: {name} is {reprlib.repr(value)}, not {wanted}.", DAMAGED)


class Reader:
    """Reads config.json, remembers every value that it leaves out, and refuses what is not a number of that kind."""

    def __init__(self, config: dict[str, Any], defaults: dict[str, Any], prefix: str = "") -> None:
        """Take the object to read, what transformers takes for absent keys, and how messages call the object ("part.")."""
        self.config = config
        self.defaults = defaults
        self.prefix = prefix
        self.assumed: list[str] = []

    def get(self, key: str) -> Any:
        """Return the value, or transformers' default for the family, which is then recorded as assumed."""
        if self.config.get(key) is not None:
            return self.config[key]
        if key not in self.defaults:
            raise CheckpointError(
                f"config.json does not state {self.prefix}{key}.", "The file is incomplete; download it again."
            )
        if key not in self.config and self.defaults[key] is not None:
            self.assumed.append(
                f"{self.prefix}{key} = {self.defaults[key]} (absent from config.json; transformers' default)"
            )
        return self.defaults[key]

    def size(self, key: str) -> int:
        """Return a positive whole number."""
        return whole(self.get(key), self.prefix + key)

    def layers(self) -> int:
        """Return the number of layers, of which there is a limit: a table of all their tensors is made."""
        count = self.size("num_hidden_layers")
        if count > MAX_LAYERS:
            raise wrong(f"{self.prefix}num_hidden_layers", count, f"at most {MAX_LAYERS:,}")
        return count

    def size_or(self, key: str, otherwise: int) -> int:
        """Return a positive whole number, or another one where neither the config nor a default states any."""
        value = self.get(key)
        return otherwise if value is None else whole(value, self.prefix + key)

    def number(self, key: str) -> float:
        """Return a positive number that is finite."""
        return positive(self.get(key), self.prefix + key)

    def activation(self) -> str:
        """Return the activation's name. Raises NotExpressible for one that the graph builder lacks."""
        name = str(self.get("hidden_act"))
        name = _SYNONYMS.get(name, name)
        if name not in ACTIVATIONS:
            raise NotExpressible(f"the activation {name} is not one of {', '.join(ACTIVATIONS)}")
        return name

    def rope(self, head_dim: int, *, interleaved: bool = False, partial: bool = False) -> Rope:
        """Read rope from `rope_parameters` (transformers 5) or `rope_theta` and `rope_scaling` (transformers 4).

        Source: `transformers.modeling_rope_utils.RotaryEmbeddingConfigMixin.convert_rope_params_to_dict`.
        """
        parameters = self.config.get("rope_scaling") or self.config.get("rope_parameters") or {}
        if not isinstance(parameters, dict):
            raise wrong("rope_parameters", parameters, "a table")
        if any(isinstance(v, dict) for v in parameters.values()):
            raise NotExpressible("its layers have different rotary embeddings")
        kind = parameters.get("rope_type", parameters.get("type", "default"))
        if not isinstance(kind, str) or kind not in _SCALED_BY:
            raise NotExpressible(f"rotary embeddings of the kind {kind!r}")
        stated = parameters["rope_theta"] if "rope_theta" in parameters else self.get("rope_theta")
        theta = positive(stated, "rope_theta")
        factor = self._partial(parameters) if partial else 1.0
        scaling = {} if kind == "default" else {**parameters, "rope_type": kind}
        if kind == "llama3":
            scaling.setdefault("original_max_position_embeddings", self.get("max_position_embeddings"))
        for name in _SCALED_BY[kind]:
            positive(scaling.get(name), f"rope_parameters.{name}")
        return Rope(theta, int(head_dim * factor), interleaved, scaling)

    def _partial(self, parameters: dict[str, Any]) -> float:
        """Share of each head that is rotated, for the families that read it."""
        stated = self.config.get("partial_rotary_factor", parameters.get("partial_rotary_factor"))
        return positive(self.get("partial_rotary_factor") if stated is None else stated, "partial_rotary_factor")

    def refuse_sliding_window(self) -> None:
        """Raise NotExpressible if some positions are out of a layer's sight."""
        layers = self.config.get("layer_types") or []
        if not isinstance(layers, list):
            raise wrong("layer_types", layers, "a list")
        if any(kind != "full_attention" for kind in layers):
            raise NotExpressible("some layers attend through a sliding window")
        if "use_sliding_window" in self.defaults:
            if self.config.get("use_sliding_window"):
                raise NotExpressible("attention through a sliding window")
            return
        window = self.config.get("sliding_window", self.defaults.get("sliding_window"))
        if window is not None:
            raise NotExpressible(f"attention through a sliding window of {window}")
