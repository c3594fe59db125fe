"""Read config.json for llama.cpp: the plain decoder first, rope scaling and sliding windows apart.

`convert.families` describes a decoder for graphs without windows and with few kinds of rope. llama.cpp has other limits, so the
two are taken out of the config before that description is asked for, and judged here.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from ... import families
from ...families.decoder import Decoder, Rope, positive, whole, wrong
from ..header import Value, f32, string, u32
from .model import refuse


@dataclass(frozen=True)
class Scaling:
    """How a model stretches its positions: keys (without "ARCH."), and tensors of factors by which frequencies are divided."""

    keys: dict[str, Value] = field(default_factory=dict)
    factors: dict[str, npt.NDArray[Any]] = field(default_factory=dict)


def decoder(config: dict[str, Any]) -> Decoder:
    """Describe the decoder without its windows and rope scaling. Raises NotExpressible for what llama.cpp lacks too."""
    parameters = rope_parameters(config)
    kept = {k: parameters[k] for k in ("rope_theta", "partial_rotary_factor") if k in parameters}
    plain = {
        **config,
        "rope_scaling": None,
        "rope_parameters": kept,
        "sliding_window": None,
        "use_sliding_window": False,
        "layer_types": None,
    }
    return families.decoder(plain)


def rope_parameters(config: dict[str, Any]) -> dict[str, Any]:
    """Return `rope_scaling` (transformers 4) or `rope_parameters` (5). Raises CheckpointError if layers differ."""
    parameters = config.get("rope_scaling") or config.get("rope_parameters") or {}
    if not isinstance(parameters, dict):
        raise wrong("rope_parameters", parameters, "a table")
    if any(isinstance(value, dict) for value in parameters.values()):
        raise refuse("its layers have different rotary embeddings")
    return parameters


def rope_kind(parameters: dict[str, Any]) -> str:
    """Return the kind of scaling."""
    return str(parameters.get("rope_type", parameters.get("type", "default")))


def context(config: dict[str, Any], default: Any) -> int:
    """Return max_position_embeddings, or transformers' default for the family."""
    return whole(config.get("max_position_embeddings") or default, "max_position_embeddings")


def scaling(config: dict[str, Any], decoder: Decoder, context: int, *, llama3: bool = False) -> Scaling:
    """Translate rope scaling.

    Args:
        config: config.json.
        decoder: its description, with the plain rope.
        context: max_position_embeddings.
        llama3: llama.cpp's graph of this architecture takes factors for single frequencies.

    Raises:
        CheckpointError: a kind, or a parameter of a kind, that llama.cpp lacks.
    """
    parameters = rope_parameters(config)
    kind = rope_kind(parameters)
    if kind == "default":
        return Scaling()
    if kind == "linear":
        return Scaling(
            {
                "rope.scaling.type": string("linear"),
                "rope.scaling.factor": f32(positive(parameters.get("factor"), "rope_parameters.factor")),
            }
        )
    original = int(
        config.get("original_max_position_embeddings") or parameters.get("original_max_position_embeddings") or context
    )
    if kind == "yarn":
        return _yarn(parameters, original, context)
    if kind == "llama3" and llama3:
        stretched = Rope(
            decoder.rope.theta, decoder.rope.dim, False,
            {**parameters, "rope_type": "llama3", "original_max_position_embeddings": original},
        )  # fmt: skip
        factors = decoder.rope.inverse_frequencies() / stretched.inverse_frequencies()
        return Scaling(factors={"rope_freqs.weight": factors.astype(np.float32)})
    raise refuse(f"it has rotary embeddings of the kind {kind!r}")


def _yarn(parameters: dict[str, Any], original: int, context: int) -> Scaling:
    """llama.cpp reads factor and length; what it computes itself must be what the config says."""
    factor = positive(parameters.get("factor") or context / original, "rope_parameters.factor")
    for name, value in {"beta_fast": 32.0, "beta_slow": 1.0, "truncate": True}.items():
        stated = parameters.get(name)
        if stated is not None and not math.isclose(stated, value, rel_tol=1e-6):
            raise refuse(f"its YaRN states {name} = {stated}, where llama.cpp computes with {value}")
    keys = {
        "rope.scaling.type": string("yarn"),
        "rope.scaling.factor": f32(factor),
        "rope.scaling.original_context_length": u32(original),
    }
    extra = _attention(parameters, factor) / yarn_attention(factor)
    if not math.isclose(extra, 1.0, rel_tol=1e-6):
        keys["rope.scaling.attn_factor"] = f32(extra)  # llama.cpp multiplies its own by it
    return Scaling(keys)


def yarn_attention(factor: float) -> float:
    """Return by how much llama.cpp's YaRN scales cosines and sines of itself; transformers says the same where factor > 1."""
    return 0.1 * math.log(factor) + 1.0


def _attention(parameters: dict[str, Any], factor: float) -> float:
    """Return by how much transformers scales cosines and sines (`modeling_rope_utils._compute_yarn_parameters`)."""
    stated = parameters.get("attention_factor")
    if stated is not None:
        return positive(stated, "rope_parameters.attention_factor")
    one, all_ = parameters.get("mscale"), parameters.get("mscale_all_dim")
    if factor <= 1:
        return 1.0
    if not one or not all_:
        return yarn_attention(factor)
    scales = (
        0.1 * positive(value, f"rope_parameters.{name}") * math.log(factor) + 1.0
        for name, value in (("mscale", one), ("mscale_all_dim", all_))
    )
    return next(scales) / next(scales)


def within_window(config: dict[str, Any], default: int | None, context: int) -> tuple[int, tuple[str, ...]]:
    """Cap the context of a model with sliding windows in an architecture for which llama.cpp's graph has none.

    A window of n positions leaves nothing out of a text of n tokens: up to there the graph without windows is the same model.

    Args:
        config: config.json.
        default: the window where none is stated.
        context: positions that the model was made for.

    Returns:
        The context to state in the file, and sentences for the plan.

    Raises:
        CheckpointError: attention of a kind that is neither full nor a window.
    """
    kinds = config.get("layer_types")
    if kinds is not None and not isinstance(kinds, list):
        raise wrong("layer_types", kinds, "a list")
    if odd := {str(kind) for kind in kinds or ()} - {"full_attention", "sliding_attention"}:
        raise refuse(f"some of its layers have attention of the kind {min(odd)!r}")
    window = config.get("sliding_window", default)
    if window is None or not _slides(config, kinds):
        return context, ()
    window = whole(window, "sliding_window")
    if window >= context:
        return context, ()
    return window, (
        f"llama.cpp has no sliding window for this architecture: the file states a context of {window:,} tokens, the window's "
        f"width, not {context:,}. Longer texts would be attended to in full, which the checkpoint's own code does not do.",
    )


def _slides(config: dict[str, Any], kinds: list[Any] | None) -> bool:
    """Tell whether a layer has a window: by its kinds, else those of Qwen from max_window_layers on, else all."""
    if kinds is not None:
        return "sliding_attention" in kinds
    if "use_sliding_window" not in config:
        return True
    layers, first = config.get("num_hidden_layers"), config.get("max_window_layers")
    none = isinstance(layers, int) and isinstance(first, int) and first >= layers
    return bool(config["use_sliding_window"]) and not none
