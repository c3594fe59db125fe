"""Qwen2.5-VL in llama.cpp's terms: Qwen2-VL's language model, and the projector type "qwen2.5vl_merger".

Source: `conversion/qwenvl.py` of llama.cpp.
"""

from __future__ import annotations

from ..gguf_values import Value, u32
from ..program.mmproj_spec import Mmproj, Sizes, tower, vision_of
from ..program.mmproj_towers import QWEN_LAYER, THREE, qwen_embeddings
from ..program.reading import Config, UnsupportedArchitecture
from .qwen2_vl_gguf import DEFAULTS, EPSILON, GELU, GGUF, MERGER, RESIZING, SEEN, SIDE, VISUAL, require_merge

__all__ = ["GGUF", "MMPROJ"]
_WINDOW = 112
"""Side of a window in pixels, which llama.cpp's graph has built in."""


def _sizes(config: Config) -> Sizes:
    require_merge(config)
    names = {"layers": "depth", "heads": "num_heads"}
    defaults = {
        **DEFAULTS, "depth": 32, "hidden_size": 3584, "intermediate_size": 3420, "num_heads": 16, "image_size": SIDE,
        "hidden_act": "silu",
    }  # fmt: skip
    return tower(config, defaults, names, epsilon=EPSILON)


def _keys(config: Config, processor: Config) -> dict[str, Value]:
    """Return how often a layer sees all patches.

    Raises:
        UnsupportedArchitecture: not every so many layers do, or windows are of another size.
    """
    vision = vision_of(config)
    whole, window = vision.get("fullatt_block_indexes", [7, 15, 23, 31]), vision.get("window_size", _WINDOW)
    if window != _WINDOW:
        raise UnsupportedArchitecture(f"its windows are {window} pixels wide, and llama.cpp's {_WINDOW}")
    every = whole[0] + 1 if isinstance(whole, list) and whole and type(whole[0]) is int else 0
    layers = _sizes(config).layers
    if every < 1 or list(range(every - 1, layers, every)) != whole:
        raise UnsupportedArchitecture(
            f"its layers {whole} of {layers} see all patches, and in llama.cpp's graph every so many do"
        )
    return {"n_wa_pattern": u32(every)}


MMPROJ = Mmproj(
    "qwen2.5vl_merger",
    sizes=_sizes,
    layer=f"{VISUAL}blocks.",
    before=qwen_embeddings(VISUAL),
    inner={
        **QWEN_LAYER, "attn.qkv": THREE, "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down",
    },
    after=MERGER,
    keys=_keys,
    exchanges=True,
    deviations=(GELU, RESIZING),
    seen=SEEN,
)  # fmt: skip
