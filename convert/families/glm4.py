"""GLM-4-0414: GLM's block with a second norm behind attention and MLP.

Sources: `transformers/models/glm4/`; `src/models/glm4.cpp` and `conversion/glm.py` of llama.cpp.
"""

from __future__ import annotations

from dataclasses import replace

from ..program.description import Norms
from ..program.gguf_spec import Gguf
from .glm import FAMILY as GLM
from .glm import to_config

FAMILY = replace(
    GLM,
    model_type="glm4",
    architecture="Glm4ForCausalLM",
    vision=None,
    norms=Norms(after_attention="post_self_attn_layernorm", after_mlp="post_mlp_layernorm"),
    int4_default=lambda config: None,
    gguf=Gguf("glm4", to_config=to_config),
)
