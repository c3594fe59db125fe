"""Gemma's block that reads both ways, in llama.cpp's terms (`gemma-embedding`). Source: `src/models/gemma-embedding.cpp`.

Its tensors are named as the decoder's; what is said here is what differs. The packaged llama.cpp (b9190) reads no pattern of
layers with windows: each sixth sees all of a text.
"""

from __future__ import annotations

import math

from ..gguf_values import Value, f32, u32
from .encoder_gguf import TABLE_BUDGETS, EncoderGguf, Written
from .reading import UnsupportedArchitecture
from .states import States

ARCH = "gemma-embedding"
EVERY = 6


def _written(states: States) -> Written:
    decoder = states.decoder
    if not states.both_ways:
        raise UnsupportedArchitecture(
            "its tokens see only those before them, and llama.cpp's gemma-embedding looks both ways"
        )
    if decoder.activation != "gelu_pytorch_tanh":
        raise UnsupportedArchitecture(
            f"its MLP uses {decoder.activation}, and llama.cpp's gemma-embedding always gelu_pytorch_tanh"
        )
    windows = [decoder.window_of(layer) for layer in range(decoder.num_layers)]
    if [window is not None for window in windows] != [(layer + 1) % EVERY != 0 for layer in range(decoder.num_layers)]:
        raise UnsupportedArchitecture(
            f"not each {EVERY}th of its layers alone sees all of a text, which llama.cpp's gemma-embedding has built in"
        )
    if decoder.attention_scale is not None and not math.isclose(decoder.attention_scale, decoder.head_dim**-0.5):
        raise UnsupportedArchitecture("its scores are scaled by another number than the width of a head")
    if decoder.attention_softcap or decoder.qkv_bias or decoder.output_bias:
        raise UnsupportedArchitecture("it has biases, or caps scores, which llama.cpp's gemma-embedding does not")
    ropes = [decoder.rope_of(layer) for layer in range(decoder.num_layers)]
    whole = next((rope for rope, window in zip(ropes, windows, strict=True) if window is None), decoder.rope)
    near = ropes[0]
    if near is None or whole != decoder.rope:
        raise UnsupportedArchitecture("positions of the layers that see all of a text are scaled")
    keys = {"attention.sliding_window": u32(windows[0] or 0), "rope.freq_base_swa": f32(near.theta)}
    return Written(decoder.num_heads, {**keys, **_dense(states)}, {})


def _dense(states: States) -> dict[str, Value]:
    """Return the sizes of the layers behind the pooling: none, or two without biases, to a width and back."""
    layers, width = states.task.dense, states.width
    if not layers:
        return {}
    sizes = [(one.width, one.out) for one in layers]
    if len(layers) != 2 or any(one.bias for one in layers) or (sizes[0][0], sizes[1][1]) != (width, width):
        raise UnsupportedArchitecture(
            "the layers behind its pooling are not two without biases, to another width and back, as llama.cpp has them"
        )
    return {
        "dense_2_feat_in": u32(sizes[0][0]),
        "dense_2_feat_out": u32(sizes[0][1]),
        "dense_3_feat_in": u32(sizes[1][0]),
        "dense_3_feat_out": u32(sizes[1][1]),
    }


GGUF = EncoderGguf(ARCH, _written, TABLE_BUDGETS)
