"""Qwen3-VL in llama.cpp's terms: its projector type "qwen3vl_merger", which adds rows to the first layers of the language model.

Sources: `conversion/qwen3vl.py`, `src/models/qwen3vl.cpp` and `tools/mtmd/models/qwen3vl.cpp` of llama.cpp.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ..gguf_values import Kind, Value, array, u32
from ..program.decoder import Decoder
from ..program.gguf_spec import Gguf
from ..program.mmproj_spec import Mmproj, Put, Sizes, tower, vision_of
from ..program.mmproj_towers import QWEN_LAYER, qwen_embeddings
from ..program.reading import Config, UnsupportedArchitecture, contradicting
from .qwen2_vl_gguf import EPSILON, RESIZING, SEEN, VISUAL, require_merge, sections

_DEFAULTS: Mapping[str, Any] = {
    "depth": 27, "hidden_size": 1152, "intermediate_size": 4304, "num_heads": 16, "patch_size": 16,
    "num_position_embeddings": 2304, "hidden_act": "gelu_pytorch_tanh",
}  # fmt: skip

_SECTIONS = (24, 20, 20)
"""What transformers takes where config.json states no mrope_section."""


def deep_layers(config: Config) -> list[int]:
    """Return the tower's layers of which rows are added, in their order. Raises CheckpointError."""
    stated = vision_of(config).get("deepstack_visual_indexes", [8, 16, 24])
    layers = vision_of(config).get("depth", _DEFAULTS["depth"])
    if not isinstance(stated, list) or any(type(one) is not int or not 0 <= one < layers for one in stated):
        raise contradicting(f"deepstack_visual_indexes is {stated!r}, not layers of a tower that has {layers}")
    if stated != sorted(set(stated)):
        raise UnsupportedArchitecture(f"its layers {stated} are not in the order in which llama.cpp takes them")
    return list(stated)


def _sizes(config: Config) -> Sizes:
    require_merge(config)
    vision = vision_of(config)
    table = vision.get("num_position_embeddings", _DEFAULTS["num_position_embeddings"])
    side = math.isqrt(table)
    names = {"layers": "depth", "heads": "num_heads"}
    patch = vision.get("patch_size", _DEFAULTS["patch_size"])
    if side * side != table:
        raise contradicting(f"num_position_embeddings is {table}, not the patches of a square")
    return tower(config, _DEFAULTS, names, image=side * patch, epsilon=EPSILON)


def _keys(config: Config, processor: Config) -> dict[str, Value]:
    deep, layers = deep_layers(config), _sizes(config).layers
    return {
        "spatial_merge_size": u32(2),
        "is_deepstack_layers": array(Kind.BOOL, [layer in deep for layer in range(layers)]),
    }


def _deep(module: str) -> Any:
    return lambda number, config: f"v.deepstack.{deep_layers(config)[number]}.{module}"


_MODULES: Mapping[str, str] = {"norm": "norm", "linear_fc1": "fc1", "linear_fc2": "fc2"}
INNER: Mapping[str, Put] = {
    **QWEN_LAYER, "attn.qkv": "attn_qkv", "mlp.linear_fc1": "ffn_up", "mlp.linear_fc2": "ffn_down",
}  # fmt: skip
MMPROJ = Mmproj(
    "qwen3vl_merger",
    sizes=_sizes,
    layer=f"{VISUAL}blocks.",
    before={**qwen_embeddings(VISUAL), f"{VISUAL}pos_embed": "v.position_embd"},
    inner=INNER,
    after={
        f"{VISUAL}merger.norm": "v.post_ln", f"{VISUAL}merger.linear_fc1": "mm.0", f"{VISUAL}merger.linear_fc2": "mm.2",
    },
    numbered={
        rf"model\.visual\.deepstack_merger_list\.(\d+)\.{theirs}": _deep(ours) for theirs, ours in _MODULES.items()
    },
    keys=_keys,
    activation="gelu",
    deepstack=deep_layers,
    square=lambda config: _sizes(config).image,
    deviations=(
        "llama.cpp takes the tanh form of every GELU, from a table of float16; the mergers' are exact",
        RESIZING,
        "llama.cpp b9190 of May 2026 fits the table of positions to a picture's grid by its cells, the model by its corners: "
        "rows of pictures whose grid is not the table's are 2 to 4 % off, which those of later ones are not",
    ),
    seen=SEEN,
)  # fmt: skip


def _language_keys(config: Config, decoder: Decoder) -> dict[str, Value]:
    return {**sections(config, decoder, _SECTIONS), "n_deepstack_layers": u32(len(deep_layers(config)))}


GGUF = Gguf("qwen3vl", keys=_language_keys, readable=False)
WITHOUT_DEEPSTACK = replace(
    MMPROJ,
    numbered={},
    keys=lambda config, processor: {
        "spatial_merge_size": u32(2),
        "is_deepstack_layers": array(Kind.BOOL, [False] * _sizes(config).layers),
    },
    deepstack=lambda config: (),
)
"""Qwen3.5's."""
