"""Phi-1, 1.5 and 2: attention and an MLP of two matrices read one LayerNorm; biases everywhere, of the head, too.

Sources: `transformers/models/phi/`; `src/models/phi2.cpp` and `conversion/phi.py` of llama.cpp.
"""

from __future__ import annotations

from dataclasses import replace

from ..program.decoder import Decoder
from ..program.description import Names, Norms
from ..program.gguf_spec import GELU_BUDGETS, Gguf
from ..program.reading import Reader, UnsupportedArchitecture
from ..program.spec import Family
from .llama import common


def _described(read: Reader, decoder: Decoder) -> Decoder:
    if read.get("qk_layernorm"):
        raise UnsupportedArchitecture("q and k have norms, of which no checkpoint was seen")
    if decoder.tied:
        raise UnsupportedArchitecture(
            "its head is the table of embeddings, and has a bias, of which no checkpoint was seen"
        )
    return replace(decoder, parallel=True, mlp_bias=True, head_bias=True)


FAMILY = Family(
    "phi",
    "PhiForCausalLM",
    common(
        without=("attention_bias", "mlp_bias"),
        rms_norm_eps=1e-05,
        hidden_act="gelu_new",
        partial_rotary_factor=0.5,
        qk_layernorm=False,
    ),
    qkv_bias=True,
    output_bias=True,
    partial_rotary=True,
    layer_norm=True,
    norm_bias=True,
    norms=Norms(before_mlp=None),
    names=Names("self_attn.dense", None, "mlp.fc1", "mlp.fc2", "model.final_layernorm"),
    aliases={"layer_norm_eps": "rms_norm_eps"},
    details=_described,
    gguf=Gguf(
        "phi2",
        activation="gelu_pytorch_tanh",
        square_heads=True,
        names={"self_attn.dense": "attn_output", "model.final_layernorm": "output_norm"},
        reads=frozenset(["attention.layer_norm_epsilon"]),
        to_config=lambda file, keys: {"hidden_act": "gelu_new", "qk_layernorm": False},
        budgets=GELU_BUDGETS,
    ),
)
