"""OLMo 3: OLMo 2's block, with windows in three of four layers.

Sources: `transformers/models/olmo3/`; `conversion/olmo.py` of llama.cpp.
"""

from __future__ import annotations

from dataclasses import replace

from .olmo2 import FAMILY as OLMO2

FAMILY = replace(
    OLMO2,
    model_type="olmo3",
    architecture="Olmo3ForCausalLM",
    defaults={**OLMO2.defaults, "sliding_window": 4096},
    full_every=4,
    gguf=None,
)
