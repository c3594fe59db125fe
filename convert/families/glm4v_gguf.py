"""GLM-4.1V and GLM-OCR in llama.cpp's terms: the projector type "glm4v".

Sources: `conversion/qwen3vl.py` (Glm4VVisionModel) and `tools/mtmd/models/glm4v.cpp` of llama.cpp.
"""

from __future__ import annotations

from ..program.mmproj_spec import Mmproj, Seen, Sizes, tower
from ..program.mmproj_towers import QWEN_LAYER, qwen_embeddings
from ..program.reading import Config
from .qwen2_vl_gguf import RESIZING, VISUAL, require_merge

_DEFAULTS = {
    "depth": 24, "hidden_size": 1536, "num_heads": 12, "image_size": 336, "patch_size": 14, "rms_norm_eps": 1e-5,
    "hidden_act": "silu",
}  # fmt: skip


def _sizes(config: Config) -> Sizes:
    require_merge(config)
    names = {"layers": "depth", "heads": "num_heads", "epsilon": "rms_norm_eps"}
    return tower(config, _DEFAULTS, names)


MMPROJ = Mmproj(
    "glm4v",
    sizes=_sizes,
    layer=f"{VISUAL}blocks.",
    before={
        **qwen_embeddings(VISUAL),
        f"{VISUAL}post_conv_layernorm": "v.norm_embd",
        f"{VISUAL}embeddings.position_embedding": "v.position_embd",
    },
    inner={
        **QWEN_LAYER, "attn.qkv": "attn_qkv", "attn.q_norm": "attn_q_norm", "attn.k_norm": "attn_k_norm",
        "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down",
    },
    after={
        f"{VISUAL}post_layernorm": "v.post_ln",
        f"{VISUAL}downsample": "mm.patch_merger",
        f"{VISUAL}merger.proj": "mm.model.fc",
        f"{VISUAL}merger.post_projection_norm": "mm.post_norm",
        f"{VISUAL}merger.gate_proj": "mm.gate",
        f"{VISUAL}merger.up_proj": "mm.up",
        f"{VISUAL}merger.down_proj": "mm.down",
    },
    deviations=(
        RESIZING,
        "llama.cpp b9190 of May 2026 normalizes the patches of a tower without a norm behind them (GLM-OCR's), which later ones "
        "do not",
    ),
    seen=Seen("<|begin_of_image|><|image|><|end_of_image|>", "<|image|>"),
)  # fmt: skip
