"""Gemma 3's vision part in llama.cpp's terms: SigLIP, and the projector type "gemma3", which pools patches.

Sources: `conversion/gemma.py` and `tools/mtmd/models/siglip.cpp` of llama.cpp.
"""

from __future__ import annotations

import math

from ..gguf_values import Value, u32
from ..program.mmproj_spec import Bare, Mmproj, Seen, Sizes, tower
from ..program.mmproj_towers import CLIP_LAYER, SIGLIP_DEFAULTS, clip_embeddings
from ..program.reading import Config, Reader, UnsupportedArchitecture

TOWER, PROJECTOR = "model.vision_tower.vision_model.", "model.multi_modal_projector."
_POOLED = 4
"""Patches along the side of what becomes one row, where the file does not say so."""


def _sizes(config: Config) -> Sizes:
    found = tower(config, SIGLIP_DEFAULTS)
    if found.activation != SIGLIP_DEFAULTS["hidden_act"]:
        raise UnsupportedArchitecture(f"its tower uses {found.activation}, and llama.cpp's has the tanh form of GELU")
    return found


def _keys(config: Config, processor: Config) -> dict[str, Value]:
    """Return by how much patches are pooled, which llama.cpp takes for 4. Raises UnsupportedArchitecture."""
    sizes, rows = _sizes(config), Reader(config, {"mm_tokens_per_image": 256}).size("mm_tokens_per_image")
    patches, side = sizes.image // sizes.patch, math.isqrt(rows)
    if side * side != rows or patches % side:
        raise UnsupportedArchitecture(f"{patches} x {patches} patches become {rows} rows, which are no square of them")
    return {} if patches // side == _POOLED else {"projector.scale_factor": u32(patches // side)}


MMPROJ = Mmproj(
    "gemma3",
    sizes=_sizes,
    layer=f"{TOWER}encoder.layers.",
    before=clip_embeddings(TOWER),
    inner=CLIP_LAYER,
    after={
        f"{TOWER}post_layernorm": "v.post_ln",
        f"{PROJECTOR}mm_input_projection_weight": Bare("mm.input_projection.weight"),
        f"{PROJECTOR}mm_soft_emb_norm": "mm.soft_emb_norm",
    },
    keys=_keys,
    float32=("v.patch_embd.weight",),
    half=("mm.input_projection.weight",),
    plus={"mm.soft_emb_norm.weight": 1.0},
    exchanges=True,
    unused=(f"{TOWER}head.*",),
    deviations=(
        "llama.cpp takes GELU from a table of float16",
        "llama.cpp fits pictures into the tower's square itself, black beside them, where the model stretches them; give square "
        "pictures of that size for the same answers, as edgeconv chat does",
    ),
    seen=Seen("<start_of_image>", "<image_soft_token>", ("\n\n", "\n\n"), stretch=2),
)
