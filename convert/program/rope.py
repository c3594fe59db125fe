"""Rotary position embedding: the numbers of one head, and the tables of config.json in which they are stated.

A config states `rope_scaling` beside `rope_theta` (transformers 4) or `rope_parameters` (5), for all layers or for each kind of
layer. This is the one place that reads them.
Source: `transformers.modeling_rope_utils.RotaryEmbeddingConfigMixin.convert_rope_params_to_dict`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from .reading import Reader, UnsupportedArchitecture, contradicting, positive, wrong

TABLES = ("rope_scaling", "rope_parameters")
"""Where a config states its rotary embeddings; transformers takes the first that says anything."""
_YARN_RAMP = {"beta_fast": 32.0, "beta_slow": 1.0}
"""Turns in the original context between which YaRN blends, where nothing is stated."""
_SCALED_BY = {
    "default": (),
    "yarn": ("factor", "original_max_position_embeddings"),
    "longrope": ("original_max_position_embeddings",),
    "proportional": (),
    "linear": ("factor",),
    "llama3": ("factor", "low_freq_factor", "high_freq_factor", "original_max_position_embeddings"),
}
"""Kinds of rotary embeddings that a graph is built for, and the numbers that each needs."""


MAX_DIMENSIONS = 1 << 20
"""Of a head: thousands of times as many as any model has."""


@dataclass(frozen=True)
class Rope:
    """Rotary position embedding of one head.

    Attributes:
        theta: base of the frequencies.
        dim: dimensions of each head that are rotated; the rest passes through.
        interleaved: pairs are neighbors (2i, 2i+1), as in GLM; else halves (i, i + dim/2), as in Llama.
        scaling: parameters of a scaled kind ("linear", "llama3", "yarn", "longrope", "proportional"), empty for the default.
        sections: how many frequencies turn by each axis of positions (M-RoPE: time, row, column); empty: positions have one axis.
        woven: the axes take turns from frequency to frequency, as far as their sections reach, and time has the rest; else the
            sections lie one behind the other.
        leading: axes of positions in front of these, by which nothing turns.
    """

    theta: float
    dim: int
    interleaved: bool = False
    scaling: dict[str, Any] = field(default_factory=dict, hash=False)
    sections: tuple[int, ...] = ()
    woven: bool = False
    leading: int = 0

    def __post_init__(self) -> None:
        """Raise CheckpointError for more dimensions than a head can have: each pair gets a frequency."""
        if self.dim > MAX_DIMENSIONS:
            raise wrong("the width of a head", self.dim, f"at most {MAX_DIMENSIONS:,}")
        if self.sections and sum(self.sections) != self.dim // 2:
            raise wrong(
                "rope_parameters.mrope_section", list(self.sections), f"numbers that make {self.dim // 2} in all"
            )

    def axes(self) -> npt.NDArray[np.int64]:
        """Return by which axis each frequency turns, int64 [dim / 2].

        Source: `apply_interleaved_mrope` of transformers' Qwen3-VL, and `apply_multimodal_rotary_pos_emb` of its Qwen2-VL.
        """
        found = np.zeros(self.dim // 2, np.int64)
        if self.woven:
            for axis, count in enumerate(self.sections[1:], 1):
                found[axis : count * len(self.sections) : len(self.sections)] = axis
            return found + self.leading
        found[:] = np.repeat(np.arange(len(self.sections)), self.sections)
        return found + self.leading

    @property
    def kind(self) -> str:
        """The kind of its scaling."""
        return str(self.scaling.get("rope_type", "default"))

    @property
    def attention_factor(self) -> float:
        """What cosines and sines are multiplied by."""
        stated = self.scaling.get("attention_factor")
        if stated is not None:
            return positive(stated, "rope_parameters.attention_factor")
        if self.kind == "yarn":
            return _yarn_attention(self.scaling)
        if self.kind == "longrope" and self.scaling["factor"] > 1:
            factor, original = self.scaling["factor"], self.scaling["original_max_position_embeddings"]
            return math.sqrt(1 + math.log(factor) / math.log(original))
        return 1.0

    @property
    def switch(self) -> int | None:
        """The number of positions of a text above which `long_frequencies` hold; None: never."""
        return int(self.scaling["original_max_position_embeddings"]) if self.kind == "longrope" else None

    def long_frequencies(self) -> npt.NDArray[np.float32]:
        """Return the frequencies of a text of more than `switch` positions, float32 [dim / 2]."""
        return replace(
            self, scaling={**self.scaling, "short_factor": self.scaling["long_factor"]}
        ).inverse_frequencies()

    def tables(self) -> tuple[npt.NDArray[np.float32], ...]:
        """Return all frequencies that a graph of it holds."""
        return (self.inverse_frequencies(), *((self.long_frequencies(),) if self.switch else ()))

    def traced_tables(self) -> tuple[npt.NDArray[np.float32], ...]:
        """Return what a traced graph of long rope computes with, float32 [dim / 2] each: both factors, and powers."""
        if not self.switch:
            return ()
        exponents = (np.arange(0, self.dim, 2, dtype=np.float32) / np.float32(self.dim)).astype(np.float64)
        factors = (np.asarray(self.scaling[name], np.float32) for name in ("short_factor", "long_factor"))
        return (*factors, np.power(self.theta, exponents).astype(np.float32))

    def inverse_frequencies(self) -> npt.NDArray[np.float32]:
        """Return float32 [dim / 2], as `transformers.modeling_rope_utils` computes them.

        The power is taken in float64 and rounded: numpy's float32 power is off by some units in the last place, which position
        4,000 multiplies into a visible error of the angle, and it differs between machines.

        Raises:
            CheckpointError: the parameters of the scaling contradict each other.
        """
        said = f"the rotary embedding's {self.scaling or self.theta} gives frequencies that are not numbers"
        try:
            with np.errstate(all="ignore"):
                frequencies = self._inverse_frequencies()
        except (ArithmeticError, ValueError) as error:  # of Python itself, where numpy gives an infinity
            raise contradicting(said) from error
        if not np.isfinite(frequencies).all():
            raise contradicting(said)
        return frequencies

    def _inverse_frequencies(self) -> npt.NDArray[np.float32]:
        exponents = (np.arange(0, self.dim, 2, dtype=np.float32) / np.float32(self.dim)).astype(np.float64)
        frequencies = (np.float32(1.0) / np.power(self.theta, exponents).astype(np.float32)).astype(np.float32)
        kind = self.kind
        if kind == "yarn":
            return _yarn(self.theta, self.dim, self.scaling)
        if kind == "longrope":
            factors = np.asarray(self.scaling["short_factor"], np.float32)
            powers = np.power(self.theta, exponents).astype(np.float32)
            return (np.float32(1.0) / (factors * powers)).astype(np.float32)
        if kind == "proportional":
            return _proportional(frequencies, self.scaling)
        if kind == "linear":
            return (frequencies / np.float32(self.scaling["factor"])).astype(np.float32)
        if kind == "llama3":
            return _llama3(frequencies, self.scaling)
        return frequencies


def _yarn(theta: float, dim: int, scaling: dict[str, Any]) -> npt.NDArray[np.float32]:
    """YaRN: low frequencies are divided by `factor`, high ones stay, those between are blended."""
    original, factor = scaling["original_max_position_embeddings"], scaling["factor"]

    def place(turns: float) -> float:
        return dim * math.log(original / (turns * 2 * math.pi)) / (2 * math.log(theta))

    low, high = (place(scaling.get(name) or turns) for name, turns in _YARN_RAMP.items())
    if scaling.get("truncate", True):
        low, high = math.floor(low), math.ceil(high)
    low, high = max(low, 0), min(high, dim - 1)
    ramp = np.clip((np.arange(dim // 2, dtype=np.float32) - low) / ((high - low) or 0.001), 0, 1)
    exponents = (np.arange(0, dim, 2, dtype=np.float32) / np.float32(dim)).astype(np.float64)
    powers = np.power(theta, exponents).astype(np.float32)
    stay = 1 - ramp.astype(np.float32)
    frequencies: npt.NDArray[np.float32] = 1 / (np.float32(factor) * powers) * (1 - stay) + 1 / powers * stay
    return frequencies.astype(np.float32)


def _proportional(frequencies: npt.NDArray[np.float32], scaling: Mapping[str, Any]) -> npt.NDArray[np.float32]:
    """Keep the first share of the frequencies; the other pairs do not turn (Gemma 4)."""
    share = positive(scaling.get("partial_rotary_factor", 1.0), "rope_parameters.partial_rotary_factor")
    factor = positive(scaling.get("factor", 1.0), "rope_parameters.factor")
    turning = np.arange(frequencies.size) < int(share * 2 * frequencies.size // 2)
    return (np.where(turning, frequencies, np.float32(0)) / np.float32(factor)).astype(np.float32)


def _yarn_attention(scaling: Mapping[str, Any]) -> float:
    factor = scaling["factor"]

    def scale(by: float) -> float:
        return 0.1 * by * math.log(factor) + 1.0 if factor > 1 else 1.0

    one, all_ = scaling.get("mscale"), scaling.get("mscale_all_dim")
    if one and all_:
        return scale(positive(one, "rope_parameters.mscale")) / scale(positive(all_, "rope_parameters.mscale_all_dim"))
    return scale(1.0)


def scores_factor(scaling: Mapping[str, Any]) -> float:
    """Return the factor of mscale_all_dim, by whose square latent attention multiplies its scores; 1 where none is stated.

    Source: `yarn_apply_mscale` of transformers' deepseek_v3, which every kind of scaling with a factor is given.
    """
    stated, factor = scaling.get("mscale_all_dim"), scaling.get("factor")
    if not scaling or not stated or factor is None:
        return 1.0
    by = positive(stated, "rope_parameters.mscale_all_dim")
    return 0.1 * by * math.log(factor) + 1.0 if positive(factor, "rope_parameters.factor") > 1 else 1.0


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


def kind_of(table: Mapping[str, Any]) -> Any:
    """Return the kind that a table states, whatever it is; "default" if it states none."""
    return table.get("rope_type", table.get("type", "default"))


def parameters(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the table of a config whose layers have one rotary embedding; empty if it has none.

    Raises:
        CheckpointError: it is not a table.
        UnsupportedArchitecture: it holds a table for each kind of layer.
    """
    table = config.get("rope_scaling") or config.get("rope_parameters") or {}
    if not isinstance(table, dict):
        raise wrong("rope_parameters", table, "a table")
    if any(isinstance(value, dict) for value in table.values()):
        raise UnsupportedArchitecture("its layers have different rotary embeddings")
    return table


def tables(config: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Give name and content of the table that transformers takes of the two, or of those for single kinds of layers in it."""
    where = next((name for name in TABLES if config.get(name)), None)
    if where is None or not isinstance(config[where], dict):
        return
    inner = {name: part for name, part in config[where].items() if isinstance(part, dict)}
    if not inner:
        yield where, config[where]
    for name, part in inner.items():
        yield f"{where}.{name}", part


def read_rope(
    read: Reader, head_dim: int, *, interleaved: bool = False, partial: bool = False, scaled: bool = True,
    synonyms: Mapping[str, str] | None = None,
) -> Rope:  # fmt: skip
    """Read the rotary embedding of a config whose layers have one.

    Args:
        read: config.json.
        head_dim: dimensions of a head.
        interleaved: as in `Rope`.
        partial: the family reads partial_rotary_factor.
        synonyms: the family's own words for kinds.
        scaled: with the scaling of positions; without it the plain embedding is described, whatever is stated.

    Raises:
        CheckpointError: a number of the wrong type.
        UnsupportedArchitecture: a kind of scaling that no graph is built for.
    """
    table = parameters(read.config)
    kind = kind_of(table) if scaled else "default"
    kind = (synonyms or {}).get(kind, kind) if isinstance(kind, str) else kind
    if not isinstance(kind, str) or kind not in _SCALED_BY:
        raise UnsupportedArchitecture(f"rotary embeddings of the kind {kind!r}")
    theta = positive(table["rope_theta"] if "rope_theta" in table else read.get("rope_theta"), "rope_theta")
    factor = _partial(read, table) if partial else 1.0
    scaling = {} if kind == "default" else {**table, "rope_type": kind}
    if kind in ("llama3", "yarn", "longrope"):
        stated = read.config.get("original_max_position_embeddings", table.get("original_max_position_embeddings"))
        longest = positive(read.get("max_position_embeddings"), "max_position_embeddings")
        scaling["original_max_position_embeddings"] = positive(
            longest if stated is None else stated, "original_max_position_embeddings"
        )
        if kind != "llama3" and scaling.get("factor") is None:
            scaling["factor"] = longest / scaling["original_max_position_embeddings"]
    for name in _SCALED_BY[kind]:
        positive(scaling.get(name), f"rope_parameters.{name}")
    if kind == "longrope":
        _require_factors(scaling, int(head_dim * factor) // 2)
    return Rope(theta, int(head_dim * factor), interleaved, scaling)


def _require_factors(scaling: Mapping[str, Any], count: int) -> None:
    """Raise CheckpointError unless there is a positive factor for each frequency, in short and in long texts."""
    for name in ("short_factor", "long_factor"):
        values = scaling.get(name)
        if not isinstance(values, list) or len(values) != count:
            raise wrong(f"rope_parameters.{name}", values, f"a list of {count} numbers")
        for value in values:
            positive(value, f"rope_parameters.{name}")


def _partial(read: Reader, table: Mapping[str, Any]) -> float:
    """Share of each head that is rotated, for the families that read it."""
    stated = table.get(
        "partial_rotary_factor", read.config.get("partial_rotary_factor")
    )  # the table holds where both do
    return positive(read.get("partial_rotary_factor") if stated is None else stated, "partial_rotary_factor")
