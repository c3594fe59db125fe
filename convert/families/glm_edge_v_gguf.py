"""GLM-Edge-V's vision part in llama.cpp's terms: its projector type "adapter" (GLM_EDGE). ffn_up is fc1 and ffn_down is fc2.

Nothing upstream writes such a file any more. Source: `tools/mtmd/models/llava.cpp` of llama.cpp.
"""

from __future__ import annotations

from pathlib import Path

from ...core.json_file import read_json
from ..program.mmproj_spec import Bare, Mmproj, Sizes, tower
from ..program.mmproj_towers import CLIP_LAYER, SIGLIP_DEFAULTS, clip_embeddings
from ..program.reading import Config, UnsupportedArchitecture
from .glm_edge_v_model.facts import ADAPTER, PROJECTION, TOWER, UNUSED


def _sizes(config: Config) -> Sizes:
    found = tower(config, SIGLIP_DEFAULTS)
    if found.activation != SIGLIP_DEFAULTS["hidden_act"]:
        raise UnsupportedArchitecture(f"its tower uses {found.activation}, and llama.cpp's has the tanh form of GELU")
    return found


def _processor(folder: Path) -> Config:
    from .glm_edge_v_model.pixels import Preprocess

    rule = Preprocess.from_config(read_json(folder / "preprocessor_config.json"))
    return {"image_mean": rule.mean, "image_std": rule.std}


MMPROJ = Mmproj(
    "adapter",
    sizes=_sizes,
    layer=f"{TOWER}encoder.layers.",
    before=clip_embeddings(TOWER),
    inner=CLIP_LAYER,
    after={
        f"{TOWER}post_layernorm": "v.post_ln",
        f"{ADAPTER}conv": "adapter.conv",
        f"{PROJECTION}linear_proj": "adapter.linear.linear",
        f"{PROJECTION}norm1": "adapter.linear.norm1",
        f"{PROJECTION}gate_proj": "adapter.linear.gate",
        f"{PROJECTION}dense_h_to_4h": "adapter.linear.dense_h_to_4h",
        f"{PROJECTION}dense_4h_to_h": "adapter.linear.dense_4h_to_h",
        f"{ADAPTER}boi": Bare("adapter.boi", flat=2),
        f"{ADAPTER}eoi": Bare("adapter.eoi", flat=2),
    },
    processor=_processor,
    exchanges=True,
    unused=tuple(f"{prefix}*" for prefix in UNUSED),
    deviations=(
        "llama.cpp normalizes the adapter's rows with the tower's epsilon (the model: 1e-5) and takes the tanh form of its "
        "GELU, from a table of float16",
        "llama.cpp resizes pictures itself: it does not average where it shrinks, and centers those that are not square, where "
        "the model puts them to the top left; give square pictures of the tower's size for the same answers",
    ),
)
