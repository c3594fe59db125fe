"""OLMo 2: norms behind attention and MLP in the place of those before them, and norms of q and k over all heads together.

Sources: `transformers/models/olmo2/`; `src/models/olmo2.cpp` and `conversion/olmo.py` of llama.cpp, which turns halves here.
"""

from __future__ import annotations

from ..gguf_values import Value
from ..program.decoder import Decoder
from ..program.description import Norms
from ..program.gguf_spec import Gguf
from ..program.reading import Config, UnsupportedArchitecture
from ..program.spec import Family
from .llama import common


def keys(config: Config, decoder: Decoder) -> dict[str, Value]:
    """Return no keys. Raises UnsupportedArchitecture for a head that is the table of embeddings."""
    if decoder.tied:
        raise UnsupportedArchitecture("its head is the table of embeddings, and llama.cpp's olmo2 loads one of its own")
    return {}


FAMILY = Family(
    "olmo2",
    "Olmo2ForCausalLM",
    common(without=("mlp_bias",), rms_norm_eps=1e-05),
    qk_norm=True,
    qk_norm_whole=True,
    norms=Norms(None, "post_attention_layernorm", None, "post_feedforward_layernorm"),
    gguf=Gguf(
        "olmo2", square_heads=True, output_bias=False, keys=keys, to_config=lambda file, keys: {"attention_bias": False}
    ),
)
