"""Llama, and what the families of its block have in common.

llama.cpp turns neighboring pairs here, transformers halves: the rows of each head of q and k are reordered, biases too.
Sources: `transformers/models/llama/`; `src/models/llama.cpp` and `conversion/llama.py` of llama.cpp.
"""

from __future__ import annotations

from typing import Any

from ..program.decoder import Decoder
from ..program.gguf_spec import Gguf, GgufKeys, GgufTensors
from ..program.spec import Family

COMMON: dict[str, Any] = {
    "head_dim": None,
    "attention_bias": False,
    "num_key_value_heads": None,
    "rms_norm_eps": 1e-06,
    "rope_theta": 10000.0,
    "max_position_embeddings": 2048,
    "hidden_act": "silu",
    "mlp_bias": False,
    "tie_word_embeddings": False,
}
"""What transformers takes for a Llama; the others say what is different."""


def common(*, without: tuple[str, ...] = (), **changed: Any) -> dict[str, Any]:
    """Return `COMMON` with some values changed, and without the fields that a family does not read."""
    return {key: value for key, value in {**COMMON, **changed}.items() if key not in without}


def biased(file: GgufTensors, *names: str) -> bool:
    """Tell whether the first block of a GGUF has a bias for one of these tensors."""
    return any(f"blk.0.{name}.bias" in file.tensors for name in names)


def is_70b(decoder: Decoder) -> bool:
    """Tell the 70B models, whose heads share keys, from the 65B of 2023."""
    return decoder.num_layers == 80 and decoder.num_heads != decoder.num_kv_heads


def _to_config(file: GgufTensors, keys: GgufKeys) -> dict[str, Any]:
    return {"attention_bias": biased(file, "attn_q"), "mlp_bias": biased(file, "ffn_gate")}


GGUF = Gguf("llama", permute_qk=True, rope_factors=True, is_70b=is_70b, to_config=_to_config)
FAMILY = Family(
    "llama",
    "LlamaForCausalLM",
    COMMON,
    gguf=GGUF,
)
