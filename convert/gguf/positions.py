"""Rope scaling and sliding windows in llama.cpp's terms.

`Family.plain` describes a decoder without the two; llama.cpp has other limits than the graphs that are built here, so they are
judged apart.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np

from ..gguf_values import Value, f32, string, u32
from ..program.decoder import Decoder
from ..program.gguf_spec import Stretch
from ..program.reading import Config, UnsupportedArchitecture, positive, whole, wrong
from ..program.rope import Rope, kind_of, parameters
from ..program.spec import Family
from ..program.windows import WINDOW

_BUILT_IN = {"beta_fast": 32.0, "beta_slow": 1.0, "truncate": True}
"""What llama.cpp computes YaRN with, whatever is stated."""


def context(config: Config, default: Any) -> int:
    """Return max_position_embeddings, or transformers' default for the family."""
    return whole(config.get("max_position_embeddings") or default, "max_position_embeddings")


def stretch(config: Config, decoder: Decoder, context: int, *, rope_factors: bool = False) -> Stretch:
    """Translate rope scaling.

    Args:
        config: config.json.
        decoder: its description, with the plain rope.
        context: max_position_embeddings.
        rope_factors: llama.cpp's graph of this architecture takes factors for single frequencies.

    Raises:
        CheckpointError: a parameter of the wrong type.
        UnsupportedArchitecture: a kind, or a parameter of a kind, that llama.cpp lacks.
    """
    table = parameters(config)
    kind = str(kind_of(table))
    if kind == "default":
        return Stretch()
    if kind == "linear":
        return Stretch(
            {
                "rope.scaling.type": string("linear"),
                "rope.scaling.factor": f32(positive(table.get("factor"), "rope_parameters.factor")),
            }
        )
    original = int(
        config.get("original_max_position_embeddings") or table.get("original_max_position_embeddings") or context
    )
    if kind == "yarn" and not (rope_factors and _computed_otherwise(table)):
        return _yarn(table, original, context)
    if kind in ("llama3", "yarn") and rope_factors:
        scaling = {**table, "rope_type": kind, "original_max_position_embeddings": original}
        return _factors(decoder.rope, scaling | ({} if table.get("factor") else {"factor": context / original}))
    if kind == "longrope" and rope_factors:
        return _one_factor(table, decoder.rope, original, context)
    raise UnsupportedArchitecture(f"it has rotary embeddings of the kind {kind!r}")


def _computed_otherwise(table: Config) -> dict[str, Any]:
    """Return what a YaRN states where llama.cpp computes with other numbers."""
    stated = {name: table[name] for name in _BUILT_IN if table.get(name) is not None}
    return {name: value for name, value in stated.items() if not math.isclose(value, _BUILT_IN[name], rel_tol=1e-6)}


def _factors(plain: Rope, scaling: dict[str, Any]) -> Stretch:
    """State every frequency by a factor of its own, and what cosines and sines are multiplied by."""
    plain = replace(plain, scaling={})
    stretched = replace(plain, scaling=scaling)
    factors = plain.inverse_frequencies() / stretched.inverse_frequencies()
    keys: dict[str, Value] = {}
    if not math.isclose(stretched.attention_factor, 1.0, rel_tol=1e-6):
        keys["rope.scaling.attn_factor"] = f32(stretched.attention_factor)
    if stretched.kind == "yarn":  # some graphs read its length for something else, too
        keys["rope.scaling.original_context_length"] = u32(scaling["original_max_position_embeddings"])
    return Stretch(keys, {"rope_freqs.weight": factors.astype(np.float32)})


def _one_factor(table: Config, rope: Rope, original: int, context: int) -> Stretch:
    """Write the factors of a long rope that no text up to the context switches, for graphs that have one table of them."""
    short, long = (np.asarray(table.get(f"{name}_factor") or (), np.float32).reshape(-1) for name in ("short", "long"))
    if short.size != rope.dim // 2:
        raise UnsupportedArchitecture(f"rope's short_factor has {short.size} numbers, not {rope.dim // 2}")
    if original < context and not np.array_equal(short, long):
        raise UnsupportedArchitecture(
            f"its rotary embeddings of the kind 'longrope' switch factors at {original:,} positions, which llama.cpp "
            "does for other architectures only"
        )
    scaling = {"factor": table.get("factor") or context / original} | dict(table)
    attention = Rope(
        rope.theta, rope.dim, False, {**scaling, "rope_type": "longrope", "original_max_position_embeddings": original}
    ).attention_factor
    keys = {} if math.isclose(attention, 1.0) else {"rope.scaling.attn_factor": f32(attention)}
    return Stretch(keys, {"rope_freqs.weight": short})


def _yarn(table: Config, original: int, context: int) -> Stretch:
    """llama.cpp reads factor and length; what it computes itself must be what the config says."""
    factor = positive(table.get("factor") or context / original, "rope_parameters.factor")
    for name, stated in _computed_otherwise(table).items():
        raise UnsupportedArchitecture(
            f"its YaRN states {name} = {stated}, where llama.cpp computes with {_BUILT_IN[name]}"
        )
    keys = {
        "rope.scaling.type": string("yarn"),
        "rope.scaling.factor": f32(factor),
        "rope.scaling.original_context_length": u32(original),
    }
    extra = _attention(table, factor) / yarn_attention(factor)
    if not math.isclose(extra, 1.0, rel_tol=1e-6):
        keys["rope.scaling.attn_factor"] = f32(extra)  # llama.cpp multiplies its own by it
    return Stretch(keys)


def yarn_attention(factor: float) -> float:
    """Return by how much llama.cpp's YaRN scales cosines and sines of itself; transformers says the same where factor > 1."""
    return 0.1 * math.log(factor) + 1.0


def _attention(table: Config, factor: float) -> float:
    """Return by how much transformers scales cosines and sines (`modeling_rope_utils._compute_yarn_parameters`)."""
    stated = table.get("attention_factor")
    if stated is not None:
        return positive(stated, "rope_parameters.attention_factor")
    one, all_ = table.get("mscale"), table.get("mscale_all_dim")
    if factor <= 1:
        return 1.0
    if not one or not all_:
        return yarn_attention(factor)
    scales = (
        0.1 * positive(value, f"rope_parameters.{name}") * math.log(factor) + 1.0
        for name, value in (("mscale", one), ("mscale_all_dim", all_))
    )
    return next(scales) / next(scales)


def within_window(family: Family, config: Config, context: int) -> tuple[int, tuple[str, ...]]:
    """Cap the context of a model with sliding windows in an architecture for which llama.cpp's graph has none.

    A window of n positions leaves nothing out of a text of n tokens: up to there the graph without windows is the same model.

    Args:
        family: of which `defaults` say whether there may be a window, and how wide it is where no width is stated.
        config: config.json.
        context: positions that the model was made for.

    Returns:
        The context to state in the file, and sentences for the plan.

    Raises:
        CheckpointError: a width or a list of kinds that is none.
        UnsupportedArchitecture: attention of a kind that is neither full nor a window.
    """
    if not {"sliding_window", "use_sliding_window"} & set(family.defaults):
        return context, ()
    if "use_sliding_window" in family.defaults and not config.get("use_sliding_window", False):
        return context, ()
    kinds = config.get("layer_types")
    if kinds is not None and not isinstance(kinds, list):
        raise wrong("layer_types", kinds, "a list")
    if odd := {str(kind) for kind in kinds or ()} - {"full_attention", "sliding_attention"}:
        raise UnsupportedArchitecture(f"some of its layers have attention of the kind {min(odd)!r}")
    window = config.get("sliding_window", family.defaults.get("sliding_window", WINDOW))
    if window is None or not _slides(config, kinds):
        return context, ()
    window = whole(window, "sliding_window")
    if window >= context:
        return context, ()
    return window, (
        f"llama.cpp has no sliding window for this architecture: the file states a context of {window:,} tokens, the window's "
        f"width, not {context:,}. Longer texts would be attended to in full, which the checkpoint's own code does not do.",
    )


def _slides(config: Config, kinds: list[Any] | None) -> bool:
    """Tell whether a layer has a window: by its kinds, else those of Qwen from max_window_layers on, else all."""
    if kinds is not None:
        return "sliding_attention" in kinds
    if "use_sliding_window" not in config:
        return True
    layers, first = config.get("num_hidden_layers"), config.get("max_window_layers")
    none = isinstance(layers, int) and isinstance(first, int) and first >= layers
    return bool(config["use_sliding_window"]) and not none
