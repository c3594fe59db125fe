"""Gemma 4 in llama.cpp's terms: keys for two kinds of layers, and factors that stop the pairs of a head which do not turn.

Sources: `src/models/gemma4.cpp` and `conversion/gemma.py` of llama.cpp.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ..gguf_values import Kind, Value, array, f32, u32
from ..program.decoder import Decoder
from ..program.gguf_spec import Gguf, Stretch, require_tied
from ..program.reading import Config, UnsupportedArchitecture
from ..program.rope import Rope

_GELU = (
    "llama.cpp takes GELU from a table of float16, here twice a layer: 0.030 was measured, of its own converter's file 0.032; "
    "torch with such a table is a third as far away"
)
BUDGETS: Mapping[str, tuple[float, str]] = dict.fromkeys(("conversion", "decode", "long_context"), (0.05, _GELU))
STOPPED = 1e30
"""A factor by which a frequency is divided, so that the pair does not turn."""


def _whole(decoder: Decoder) -> tuple[int, Rope]:
    """Return the first global layer, and its rotary embedding."""
    layer = next((one for one in range(decoder.num_layers) if decoder.window_of(one) is None), 0)
    rope = decoder.rope_of(layer)
    assert rope
    return layer, rope


def _keys(config: Config, decoder: Decoder) -> dict[str, Value]:
    """Return what llama.cpp's graph reads; refuse what it takes for granted and is not so."""
    every = range(decoder.num_layers)
    local = [decoder.window_of(layer) is not None for layer in every]
    own = len([layer for layer in every if decoder.attention_of(layer).reads is None])
    if not any(local) or (own < decoder.num_layers and (own < 2 or local[own - 1] or not local[own - 2])):
        raise UnsupportedArchitecture(
            "no layer has a window, or the last layers with keys and values of their own are not a local and a global one, to "
            "which those that share them go in llama.cpp's gemma4"
        )
    layer, rope = _whole(decoder)
    width, swa = decoder.attention_of(layer).heads.width, decoder.head_dim
    window = next(filter(None, map(decoder.window_of, every)))
    cap = decoder.logit_softcap
    return {
        **require_tied(config, decoder),
        "attention.shared_kv_layers": u32(decoder.num_layers - own),
        "embedding_length_per_layer_input": u32(decoder.per_layer.width if decoder.per_layer else 0),
        "attention.sliding_window": u32(window),
        "attention.sliding_window_pattern": array(Kind.BOOL, local),
        "feed_forward_length": array(Kind.U32, [decoder.inner_of(one) for one in every]),
        "attention.head_count_kv": array(Kind.U32, [decoder.attention_of(one).heads.keys for one in every]),
        **{f"attention.{part}_length": u32(width) for part in ("key", "value")},
        **{f"attention.{part}_length_swa": u32(swa) for part in ("key", "value")},
        "rope.dimension_count": u32(width),
        "rope.dimension_count_swa": u32(swa),
        "rope.freq_base": f32(rope.theta),
        "rope.freq_base_swa": f32(decoder.rope.theta),
        **({"final_logit_softcapping": f32(cap)} if cap else {}),
    }


def _stretch(config: Config, decoder: Decoder, context: int) -> Stretch:
    """Return the factors of the global layers; those of frequencies that are 0 are as good as infinite."""
    _, rope = _whole(decoder)
    plain = Rope(rope.theta, rope.dim).inverse_frequencies()
    turning = rope.inverse_frequencies()
    if decoder.rope.scaling:
        raise UnsupportedArchitecture("the rotary embeddings of its local layers are scaled")
    with np.errstate(divide="ignore"):
        factors = np.minimum(plain / turning, np.float32(STOPPED)).astype(np.float32)
    return Stretch(factors={"rope_freqs.weight": factors})


GGUF = Gguf(
    "gemma4",
    activation="gelu_pytorch_tanh",
    windows=True,
    names={"layer_scalar": "layer_output_scale.weight"},
    flatten=lambda config: {**config, "rope_parameters": None},
    keys=_keys,
    stretch=_stretch,
    readable=False,
    budgets=BUDGETS,
)
