"""Rotary embeddings of a GGUF in transformers' terms, scaled kinds included.

llama.cpp stores what Llama 3.1 does to its frequencies as the quotients themselves (`rope_freqs.weight`); the parameters
that make them are found by trying those that its models have.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from ...core.errors import CheckpointError
from ..gguf.positions import yarn_attention
from ..gguf.read import GgufFile
from ..program.gguf_spec import Gguf
from ..program.rope import Rope
from .keys import Keys

FACTORS = "rope_freqs.weight"
_LOW, _HIGH = 1.0, 4.0
"""low_freq_factor and high_freq_factor of every Llama 3."""


def parameters(file: GgufFile, gguf: Gguf, keys: Keys, rotated: int) -> dict[str, Any]:
    """Return rope_theta and, if positions are stretched, rope_scaling.

    Args:
        file: the GGUF.
        gguf: what its family's file says of the architecture.
        keys: those of its architecture.
        rotated: dimensions of a head that are rotated.

    Raises:
        CheckpointError: a kind of scaling that is not known.
    """
    theta = keys.number("rope.freq_base", gguf.rope_base)
    base = {"rope_theta": theta}
    kind = keys.get("rope.scaling.type")
    factor = _factor(keys)
    _require_meant(file, keys, kind, factor)
    if FACTORS in file.tensors and gguf.rope_factors:
        return base | {"rope_scaling": _llama3(_vector(file, FACTORS), theta, rotated)}
    if "rope_factors_long.weight" in file.tensors:
        return base | _longrope(file, keys)
    if kind == "linear" or (kind is None and factor != 1):
        return base | ({"rope_scaling": {"rope_type": "linear", "factor": factor}} if factor != 1 else {})
    if kind == "yarn":
        return base | {"rope_scaling": _yarn(keys, factor)}
    if kind not in (None, "none", "longrope"):
        raise CheckpointError(
            f"{file.path.name} scales its rotary embeddings by {kind!r}, which cannot be read.", "Convert the original."
        )
    return base


def _factor(keys: Keys) -> float:
    """Return by what positions are divided: llama.cpp takes 0 for 1, and the key's old name where the new one is absent."""
    name = "rope.scaling.factor" if keys.get("rope.scaling.factor") is not None else "rope.scale_linear"
    return 1.0 if keys.get(name) in (None, 0) else keys.number(name)


def _require_meant(file: GgufFile, keys: Keys, kind: Any, factor: float) -> None:
    """Raise CheckpointError for numbers that llama.cpp obeys beside a kind of scaling, and transformers does not."""
    attention = keys.get("rope.scaling.attn_factor")
    long = "rope_factors_long.weight" in file.tensors
    if attention not in (None, 1) and kind != "yarn" and not long:
        raise CheckpointError(
            f"{file.path.name}: llama.cpp scales queries and keys by the key {file.arch}.rope.scaling.attn_factor = {attention}, "
            f"for which the scaling {kind or 'none'!r} has no counterpart here.",
            "Convert the original checkpoint.",
        )
    if factor != 1 and (long or FACTORS in file.tensors or kind == "longrope"):
        raise CheckpointError(
            f"{file.path.name} scales its rotary embeddings twice, by factors of single frequencies and by {factor}.",
            "Convert the original checkpoint.",
        )


def _yarn(keys: Keys, factor: float) -> dict[str, Any]:
    """Return YaRN's parameters; llama.cpp multiplies its attention factor, which transformers states as a whole."""
    original = keys.size("rope.scaling.original_context_length", keys.size("context_length"))
    scaling = {"rope_type": "yarn", "factor": factor, "original_max_position_embeddings": original}
    if keys.get("rope.scaling.attn_factor") not in (None, 1):
        scaling["attention_factor"] = keys.number("rope.scaling.attn_factor") * yarn_attention(factor)
    return scaling


def _vector(file: GgufFile, name: str) -> npt.NDArray[np.float32]:
    return file.dequantized(name).reshape(-1)


def _llama3(factors: npt.NDArray[np.float32], theta: float, rotated: int) -> dict[str, Any]:
    """Find the parameters that divide the frequencies by these factors."""
    plain = Rope(theta, rotated).inverse_frequencies()
    for power in range(8, 21):
        scaling = {
            "rope_type": "llama3",
            "factor": float(factors.max()),
            "low_freq_factor": _LOW,
            "high_freq_factor": _HIGH,
            "original_max_position_embeddings": 2**power,
        }
        made = plain / Rope(theta, rotated, False, scaling).inverse_frequencies()
        if made.shape == factors.shape and np.allclose(made, factors, rtol=1e-5, atol=0):
            return scaling
    raise CheckpointError(
        f"The file's {FACTORS} is not what any Llama 3 does to its frequencies.", "Convert the original checkpoint."
    )


def _longrope(file: GgufFile, keys: Keys) -> dict[str, Any]:
    original = keys.size("rope.scaling.original_context_length", keys.size("context_length"))
    scaling: dict[str, Any] = {"rope_type": "longrope", "type": "longrope"}
    for name in ("long", "short"):
        values = _vector(file, f"rope_factors_{name}.weight")
        scaling[f"{name}_factor"] = [float(str(value)) for value in values]
    if keys.get("rope.scaling.attn_factor") is not None:
        scaling["attention_factor"] = keys.number("rope.scaling.attn_factor")
    return {"rope_scaling": scaling, "original_max_position_embeddings": original}
