"""GLM-4.1V and GLM-OCR in llama.cpp's terms: the projector type "glm4v", behind GLM-4 with positions of several axes.

llama.cpp turns halves where positions have several axes, and the models neighboring pairs: the rows of each head that turn are
reordered in queries and keys.
Sources: `conversion/qwen3vl.py` (Glm4VVisionModel), `conversion/glm.py`, `src/models/glm4.cpp` and
`tools/mtmd/models/glm4v.cpp` of llama.cpp.
"""

from __future__ import annotations

import numpy as np

from ..gguf_held import Held
from ..gguf_values import Kind, Value, array
from ..program.decoder import Decoder
from ..program.gguf_spec import Gguf
from ..program.mmproj_spec import Mmproj, Seen, Sizes, tower
from ..program.mmproj_towers import QWEN_LAYER, qwen_embeddings
from ..program.reading import Config, contradicting
from ..program.rope import parameters
from .qwen2_vl_gguf import RESIZING, VISUAL, require_merge

_DEFAULTS = {
    "depth": 24, "hidden_size": 1536, "num_heads": 12, "image_size": 336, "patch_size": 14, "rms_norm_eps": 1e-5,
    "hidden_act": "silu",
}  # fmt: skip
SECTIONS = (8, 12, 12)
"""`mrope_section` where config.json states none."""


def _halves(decoder: Decoder) -> dict[str, Held]:
    """Return queries and keys in the order of halves."""
    turning, width = decoder.rope.dim, decoder.head_dim
    head = np.concatenate([np.arange(0, turning, 2), np.arange(1, turning, 2), np.arange(turning, width)])
    held: dict[str, Held] = {}
    for part, heads in (("q", decoder.num_heads), ("k", decoder.num_kv_heads)):
        order = (np.arange(heads)[:, None] * width + head).reshape(-1)
        held |= {
            f"self_attn.{part}_proj.weight": Held(rows=order),
            f"self_attn.{part}_proj.bias": Held(columns=order),
        }
    return held


def _sections(config: Config, decoder: Decoder) -> dict[str, Value]:
    """Return the pairs of a head that turn by each axis of positions. Raises CheckpointError."""
    stated = parameters(config).get("mrope_section", SECTIONS)
    if (
        not isinstance(stated, list | tuple)
        or len(stated) != len(SECTIONS)
        or any(type(one) is not int for one in stated)
    ):
        raise contradicting(f"mrope_section is {stated!r}, not three numbers of pairs")
    if min(stated) < 0 or sum(stated) != decoder.rope.dim // 2:
        raise contradicting(f"mrope_section {list(stated)} does not fill the {decoder.rope.dim // 2} pairs of a head")
    return {"rope.dimension_sections": array(Kind.I32, [*stated, 0])}


GGUF = Gguf("glm4", held=_halves, keys=_sections, readable=False)


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
    exact=True,
    deviations=(
        RESIZING,
        "llama.cpp b9190 of May 2026 normalizes the patches of a tower without a norm behind them (GLM-OCR's), which later ones "
        "do not",
    ),
    seen=Seen("<|begin_of_image|><|image|><|end_of_image|>", "<|image|>"),
)  # fmt: skip
