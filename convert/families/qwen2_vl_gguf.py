"""Qwen2-VL in llama.cpp's terms: the projector type "qwen2vl_merger", and "qwen2vl" with sections of positions.

Sources: `conversion/qwenvl.py`, `src/models/qwen2vl.cpp` and `tools/mtmd/models/qwen2vl.cpp` of llama.cpp.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..gguf_values import Kind, Value, array
from ..program.decoder import Decoder
from ..program.gguf_spec import Gguf
from ..program.mmproj_spec import QUICK, Mmproj, Put, Seen, Sizes, tower, vision_of
from ..program.mmproj_towers import QWEN_LAYER, THREE, qwen_embeddings
from ..program.reading import Config, UnsupportedArchitecture, contradicting

VISUAL = "model.visual."
SIDE = 560
"""Side of a picture that the converter states where the config has none; llama.cpp takes it for that of its first, empty run."""
EPSILON = 1e-6
"""Of the tower's norms in transformers, which no config states; llama.cpp's converter takes the language model's."""
_MERGE = 2
_AXES = 4
DEFAULTS: Mapping[str, Any] = {"patch_size": 14, "spatial_merge_size": _MERGE, "temporal_patch_size": 2}
MERGER: Mapping[str, Put] = {
    f"{VISUAL}merger.ln_q": "v.post_ln", f"{VISUAL}merger.mlp.0": "mm.0", f"{VISUAL}merger.mlp.2": "mm.2",
}  # fmt: skip
RESIZING = (
    "llama.cpp fits pictures itself: at least 8 and at most 4096 image tokens of 2 x 2 patches, where preprocessor_config.json "
    "may state other bounds (min_pixels, max_pixels)"
)
GELU = "llama.cpp takes the tanh form of GELU in the projector, from a table of float16; the model's is exact"

SEEN = Seen("<|vision_start|><|image_pad|><|vision_end|>", "<|image_pad|>")


def sections(config: Config, decoder: Decoder, otherwise: Sequence[int] | None = None) -> dict[str, Value]:
    """Return the pairs of a head that count each axis of positions: frames, rows, columns and, none of them, a fourth.

    Args:
        config: of the whole model.
        decoder: its language model.
        otherwise: what transformers takes where config.json states none.

    Raises:
        CheckpointError: config.json states no such sections, or they do not fill a head.
    """
    rope = config.get("rope_scaling") or config.get("rope_parameters") or {}
    stated = rope.get("mrope_section", otherwise) if isinstance(rope, dict) else None
    if not isinstance(stated, list | tuple) or not all(type(one) is int and one >= 0 for one in stated):
        raise contradicting(f"mrope_section is {stated!r}, not the pairs of a head for each axis of positions")
    if len(stated) > _AXES or sum(stated) != decoder.rope.dim // 2:
        raise contradicting(f"mrope_section {list(stated)} does not fill the {decoder.rope.dim // 2} pairs of a head")
    return {"rope.dimension_sections": array(Kind.I32, [*stated, *[0] * (_AXES - len(stated))])}


def require_merge(config: Config) -> None:
    """Raise UnsupportedArchitecture for another merger than that of 2 x 2 patches, which llama.cpp's graphs have built in."""
    merge = vision_of(config).get("spatial_merge_size", _MERGE)
    if merge != _MERGE:
        raise UnsupportedArchitecture(f"it merges {merge} x {merge} patches, and llama.cpp's graph 2 x 2")


def _sizes(config: Config) -> Sizes:
    require_merge(config)
    names = {"width": "embed_dim", "inner": "hidden_size", "layers": "depth", "heads": "num_heads"}
    defaults = {**DEFAULTS, "depth": 32, "embed_dim": 1280, "hidden_size": 3584, "num_heads": 16, "image_size": SIDE}
    return tower(config, {**defaults, "hidden_act": QUICK}, names, epsilon=EPSILON)


MMPROJ = Mmproj(
    "qwen2vl_merger",
    sizes=_sizes,
    layer=f"{VISUAL}blocks.",
    before=qwen_embeddings(VISUAL),
    inner={**QWEN_LAYER, "attn.qkv": THREE, "mlp.fc1": "ffn_up", "mlp.fc2": "ffn_down"},
    after=MERGER,
    exchanges=True,
    deviations=(GELU, RESIZING),
    seen=SEEN,
)


GGUF = Gguf("qwen2vl", square_heads=True, keys=sections, readable=False)
