"""InternVL in llama.cpp's terms: InternViT, and the projector type "internvl", which shuffles pixels.

llama.cpp's graph puts the class token behind the patches and adds the table of positions as it stands, so the class token's row
is the last here. Its own converter leaves it first: each patch then has its neighbor's position, 7 % of a row.

Sources: `conversion/internvl.py` and `tools/mtmd/models/internvl.cpp` of llama.cpp.
"""

from __future__ import annotations

from typing import Any

from ..gguf_values import Value, u32
from ..program.mmproj_spec import Bare, Mmproj, Seen, Sizes, first_last, tower, vision_of
from ..program.reading import Config, UnsupportedArchitecture, contradicting

TOWER, PROJECTOR = "model.vision_tower.", "model.multi_modal_projector."
_DEFAULTS = {
    "hidden_size": 1024, "num_hidden_layers": 24, "num_attention_heads": 16, "intermediate_size": 4096, "hidden_act": "gelu",
    "layer_norm_eps": 1e-6,
}  # fmt: skip
_RMS = (3200, 45)
"""Width and layers of the one tower (6B) for which llama.cpp's graph takes RMS norms."""


def _side(value: Any) -> Any:
    """Return one side of what config.json states as a square, or as its height and width."""
    if isinstance(value, list) and len(value) == 2 and value[0] == value[1]:
        return value[0]
    return value


def _sizes(config: Config) -> Sizes:
    vision = vision_of(config)
    sides = {name: _side(vision.get(name, default)) for name, default in (("image_size", 448), ("patch_size", 14))}
    found = tower({**config, "vision_config": {**vision, **sides}}, _DEFAULTS)
    rms = vision.get("norm_type", "layer_norm") == "rms_norm"
    if rms != ((found.width, found.layers) == _RMS):
        raise UnsupportedArchitecture("its norms are not those that llama.cpp takes for a tower of this size")
    return found


def _keys(config: Config, processor: Config) -> dict[str, Value]:
    ratio = config.get("downsample_ratio", 0.5)
    if type(ratio) not in (int, float) or not 0 < ratio <= 1 or 1 / ratio != int(1 / ratio):
        raise contradicting(f"downsample_ratio is {ratio!r}, not one over a whole number")
    tiles = {"preproc_min_tiles": processor.get("min_patches"), "preproc_max_tiles": processor.get("max_patches")}
    return {
        "projector.scale_factor": u32(int(1 / ratio)),
        **{name: u32(count) for name, count in tiles.items() if type(count) is int and count > 0},
    }


MMPROJ = Mmproj(
    "internvl",
    sizes=_sizes,
    layer=f"{TOWER}encoder.layer.",
    before={
        f"{TOWER}embeddings.cls_token": Bare("v.class_embd"),
        f"{TOWER}embeddings.position_embeddings": Bare("v.position_embd.weight", how=first_last),
        f"{TOWER}embeddings.patch_embeddings.projection": "v.patch_embd",
    },
    inner={
        "layernorm_before": "ln1", "layernorm_after": "ln2",
        "attention.q_proj": "attn_q", "attention.k_proj": "attn_k", "attention.v_proj": "attn_v",
        "attention.q_norm": "attn_q_norm", "attention.k_norm": "attn_k_norm", "attention.projection_layer": "attn_out",
        "mlp.fc1": "ffn_up", "mlp.fc2": "ffn_down",
        "lambda_1": Bare("ls1.weight"), "lambda_2": Bare("ls2.weight"),
    },
    after={
        f"{PROJECTOR}layer_norm": "mm.model.mlp.0",
        f"{PROJECTOR}linear_1": "mm.model.mlp.1",
        f"{PROJECTOR}linear_2": "mm.model.mlp.3",
    },
    keys=_keys,
    deviations=(
        "llama.cpp takes the tanh form of every GELU, from a table of float16; the model's are exact",
        "llama.cpp cuts pictures into tiles by a rule of its own, and may take others than the model's processor",
    ),
    seen=Seen("<IMG_CONTEXT>", "<IMG_CONTEXT>"),
)  # fmt: skip
