"""StableLM 2: Llama's block with LayerNorms and their biases; a quarter of each head is rotated; 12B reads one norm twice.

Sources: `transformers/models/stablelm/`; `src/models/stablelm.cpp` and `conversion/stablelm.py` of llama.cpp.
"""

from __future__ import annotations

from dataclasses import replace

from ..gguf_values import boolean
from ..program.decoder import Decoder
from ..program.gguf_spec import Gguf
from ..program.reading import Reader, UnsupportedArchitecture
from ..program.spec import Family
from .llama import biased, common


def _described(read: Reader, decoder: Decoder) -> Decoder:
    if read.config.get("qk_layernorm"):
        raise UnsupportedArchitecture("each head of q and k has a norm of its own")
    decoder = replace(decoder, qkv_bias=bool(read.get("use_qkv_bias")))
    if not read.get("use_parallel_residual"):
        return decoder
    return replace(decoder, parallel=True, norms=replace(decoder.norms, before_mlp=None))


FAMILY = Family(
    "stablelm",
    "StableLmForCausalLM",
    common(
        without=(
            "attention_bias",
            "mlp_bias",
        ),
        num_key_value_heads=32,
        rms_norm_eps=1e-05,
        partial_rotary_factor=0.25,
        max_position_embeddings=4096,
        use_qkv_bias=False,
        use_parallel_residual=False,
    ),
    qkv_bias=False,
    output_bias=False,
    partial_rotary=True,
    layer_norm=True,
    norm_bias=True,
    aliases={"layer_norm_eps": "rms_norm_eps"},
    also_reads=frozenset(["qk_layernorm"]),
    details=_described,
    gguf=Gguf(
        "stablelm",
        square_heads=True,
        output_bias=False,
        keys=lambda config, decoder: {"use_parallel_residual": boolean(decoder.parallel)},
        reads=frozenset(["use_parallel_residual", "attention.layer_norm_epsilon"]),
        to_config=lambda file, keys: {
            "use_qkv_bias": biased(file, "attn_q"),
            "use_parallel_residual": bool(keys.get("use_parallel_residual")),
        },
    ),
)
