"""Idefics 3 and SmolVLM in llama.cpp's terms: SigLIP, and the projector type "idefics3", which shuffles pixels.

Sources: `conversion/smolvlm.py`, `tools/mtmd/models/siglip.cpp` and `mtmd_image_preprocessor_idefics3` of llama.cpp.
"""

from __future__ import annotations

from ..gguf_values import Value, u32
from ..program.mmproj_spec import Mmproj, Seen, Sizes, tower
from ..program.mmproj_towers import CLIP_LAYER, SIGLIP_DEFAULTS, clip_embeddings
from ..program.reading import Config, Reader

TOWER, CONNECTOR = "model.vision_model.", "model.connector."
_DEFAULTS = {
    **SIGLIP_DEFAULTS, "hidden_size": 1152, "num_attention_heads": 16, "patch_size": 32,
}  # fmt: skip
"""What `Idefics3VisionConfig` and `SmolVLMVisionConfig` take for a field that is absent."""


def _sizes(config: Config) -> Sizes:
    return tower(config, _DEFAULTS)


def _keys(config: Config, processor: Config) -> dict[str, Value]:
    size = processor.get("size")
    longest = size.get("longest_edge") if isinstance(size, dict) else None
    return {
        "projector.scale_factor": u32(Reader(config, {"scale_factor": 2}).size("scale_factor")),
        "preproc_image_size": u32(longest if type(longest) is int and longest > 0 else _sizes(config).image),
    }


MMPROJ = Mmproj(
    "idefics3",
    sizes=_sizes,
    layer=f"{TOWER}encoder.layers.",
    before=clip_embeddings(TOWER),
    inner=CLIP_LAYER,
    after={
        f"{TOWER}post_layernorm": "v.post_ln",
        f"{CONNECTOR}modality_projection.proj": "mm.model.fc",
    },
    keys=_keys,
    activation="gelu",
    float32=("v.patch_embd.weight",),
    exchanges=True,
    deviations=(
        "llama.cpp takes GELU from a table of float16",
        "llama.cpp resizes pictures itself: rows of the whole picture, which stands behind its tiles, are some 3 % off",
    ),
    seen=Seen("<image>", "<image>"),
)
