"""Gemma 3n in llama.cpp's terms: its graph has most numbers of E2B and E4B built in, and reads few of the keys.

llama.cpp's own converter writes those keys whatever they say, and llama.cpp then computes another model without a word: with 10
layers, of which 4 share keys, its logits were 12 off.
Sources: `src/models/gemma3n.cpp`, `src/llama-hparams.h` and `conversion/gemma.py` of llama.cpp.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from statistics import NormalDist

from ..gguf_values import Kind, Value, array, f32, u32
from ..program.decoder import Decoder
from ..program.gguf_spec import Gguf, require_tied
from ..program.reading import Config, UnsupportedArchitecture

OWN, SPARSE, SHARE, RANK, WIDTH, STREAMS, CAP = 20, 10, 0.95, 64, 256, 4, 30.0
"""Layers with keys of their own; those with sparse gates, and their idle share; LAuReL's rank; the width of a layer's own input;
AltUp's streams; the cap of logits."""
LEAST = 1024
"""The width of an MLP with sparse gates below which llama.cpp's deviation, of which it divides the squares by one less than there
are, makes another model: with 128 gates logits were 4.4 off, with 1,024 0.10."""
_MEAN = (
    "llama.cpp takes GELU from a table of float16, here twice a layer, and divides the squares of gates by one less than their "
    "number: 0.10 was measured of 1,024 gates, 0.06 of 4,096; torch that does both is 0.02 away"
)
BUDGETS: Mapping[str, tuple[float, str]] = dict.fromkeys(("conversion", "decode", "long_context"), (0.15, _MEAN))


def _require(decoder: Decoder) -> None:
    """Raise UnsupportedArchitecture for what llama.cpp's graph computes otherwise."""
    every, altup, per_layer = range(decoder.num_layers), decoder.altup, decoder.per_layer
    assert altup
    assert per_layer
    own = len([layer for layer in every if decoder.attention_of(layer).reads is None])
    local = [decoder.window_of(layer) is not None for layer in every]
    bound = NormalDist().inv_cdf(SHARE)
    sparse = [bound if layer < SPARSE else None for layer in every]
    found = {
        f"{own} layers have keys and values of their own": own == OWN,
        "the layers whose gates are sparse are others": [*decoder.sparsity] == sparse,
        f"LAuReL's rank is {decoder.laurel_rank}": decoder.laurel_rank == RANK,
        f"each layer's own input is {per_layer.width} wide": per_layer.width == WIDTH,
        f"AltUp has {altup.streams} streams": altup.streams == STREAMS,
        f"AltUp's active stream is {altup.active}": altup.active == 0,
        f"logits are capped at {decoder.logit_softcap}": decoder.logit_softcap == CAP,
        "the last two layers with keys of their own are not a local and a global one": own < 2
        or (local[own - 2], local[own - 1]) == (True, False),
        f"an MLP with sparse gates is less than {LEAST:,} wide": all(
            decoder.inner_of(layer) >= LEAST for layer in every if sparse[layer] is not None
        ),
        f"the second table has {per_layer.rows} rows": per_layer.rows <= decoder.vocab_size,
    }
    if wrong := [what for what, right in found.items() if not right]:
        raise UnsupportedArchitecture(
            f"{wrong[0]}; llama.cpp's gemma3n has the numbers of E2B and E4B built in ({OWN} layers with keys of their own, "
            f"{SPARSE} sparse ones, {STREAMS} streams, rank {RANK}, width {WIDTH}, cap {CAP:g})"
        )


def _keys(config: Config, decoder: Decoder) -> dict[str, Value]:
    _require(decoder)
    every = range(decoder.num_layers)
    own = len([layer for layer in every if decoder.attention_of(layer).reads is None])
    windows = [decoder.window_of(layer) for layer in every]
    whole = next(rope for layer in every if windows[layer] is None and (rope := decoder.rope_of(layer)))
    if whole.scaling or decoder.rope.scaling:
        raise UnsupportedArchitecture("its rotary embeddings are scaled")
    local = next((rope for layer in every if windows[layer] and (rope := decoder.rope_of(layer))), whole)
    sparsity = decoder.sparsity or (None,) * decoder.num_layers
    assert decoder.altup
    assert decoder.per_layer
    return {
        **require_tied(config, decoder),
        "altup.active_idx": u32(decoder.altup.active),
        "altup.num_inputs": u32(decoder.altup.streams),
        "embedding_length_per_layer_input": u32(decoder.per_layer.width),
        "attention.shared_kv_layers": u32(decoder.num_layers - own),
        "activation_sparsity_scale": array(Kind.F32, [-math.inf if one is None else one for one in sparsity]),
        "attention.sliding_window": u32(next(filter(None, windows))),
        "attention.sliding_window_pattern": array(Kind.BOOL, [window is not None for window in windows]),
        "feed_forward_length": array(Kind.U32, [decoder.inner_of(layer) for layer in every]),
        "rope.freq_base": f32(whole.theta),
        "rope.freq_base_swa": f32(local.theta),
        "final_logit_softcapping": f32(CAP),
    }


GGUF = Gguf(
    "gemma3n",
    activation="gelu_pytorch_tanh",
    windows=True,
    flatten=lambda config: {**config, "rope_parameters": None, "rope_scaling": None},
    keys=_keys,
    names={
        "model.altup_projections": "altup_proj",
        "model.altup_unembed_projections": "altup_unembd_proj",
        "altup.correct_output_scale": "altup_correct_scale.weight",
        "altup.correction_coefs": "altup_correct_coef",
        "altup.prediction_coefs": "altup_predict_coef",
        "altup.modality_router": "altup_router",
        "altup.router_norm": "altup_router_norm",
        "laurel.linear_left": "laurel_l",
        "laurel.linear_right": "laurel_r",
        "laurel.post_laurel_norm": "laurel_post_norm",
    },
    keys_of_all=True,
    readable=False,
    budgets=BUDGETS,
)
