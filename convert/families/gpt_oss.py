"""gpt-oss: attention with sinks and biases, in turns through a window; experts with biases whose gate and up are cut off.

Gate and up take turns in one tensor [experts, hidden, 2 * width], the other way round than a linear layer. The repository holds
the experts in MXFP4, which is refused; what is read is a copy restored to 16 bits, as transformers saves it.
Sources: `transformers/models/gpt_oss/`; `src/models/openai-moe.cpp` and `conversion/gpt_oss.py` of llama.cpp, which computes
YaRN's ramp with whole borders where this model's are not.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ..derived import Form
from ..gguf_values import Kind, Value, array, u32
from ..program.decoder import Decoder
from ..program.experts import COUNTS, Experts, Stored, read_count
from ..program.gguf_spec import Gguf
from ..program.reading import Config, Reader, wrong
from ..program.rope import Rope, read_rope
from ..program.spec import Family
from ..program.windows import SLIDING, layer_kinds
from .llama import common

_BOTH, _DOWN = "mlp.experts.gate_up_proj", "mlp.experts.down_proj"
STORED = Stored(
    router="mlp.router",
    whole={
        "gate": (_BOTH, Form("", 2, 0, 2, turned=True, strided=True)),
        "up": (_BOTH, Form("", 2, 1, 2, turned=True, strided=True)),
        "down": (_DOWN, Form(turned=True)),
    },
    bias={
        "gate": (f"{_BOTH}_bias", Form("", 1, 0, 2, strided=True)),
        "up": (f"{_BOTH}_bias", Form("", 1, 1, 2, strided=True)),
        "down": (f"{_DOWN}_bias", Form()),
    },
)
_LIMIT = 7.0
"""Beyond which gate and up are cut off, whatever config.json says."""
_YARN: dict[str, Any] = {
    "rope_type": "yarn", "factor": 32.0, "beta_fast": 32.0, "beta_slow": 1.0, "truncate": False,
    "original_max_position_embeddings": 4096, "rope_theta": 150000.0,
}  # fmt: skip
"""What transformers takes where config.json has no table."""


def _with_table(config: Config) -> Config:
    stated = config.get("rope_parameters") or config.get("rope_scaling")
    if stated and not isinstance(stated, dict):
        raise wrong("rope_parameters", stated, "a table")
    own = _YARN | ({"rope_theta": config["rope_theta"]} if config.get("rope_theta") is not None else {})
    return {**config, "rope_scaling": None, "rope_parameters": {**stated, **_theta(config, stated)} if stated else own}


def _theta(config: Config, stated: dict[str, Any]) -> dict[str, Any]:
    return {"rope_theta": config["rope_theta"]} if "rope_theta" not in stated and config.get("rope_theta") else {}


def _rope(read: Reader, head_dim: int) -> Rope:
    return read_rope(Reader(_with_table(read.config), read.defaults), head_dim)


def _described(read: Reader, decoder: Decoder) -> Decoder:
    experts = Experts(
        read_count(read), read.size("num_experts_per_tok"), decoder.intermediate_size,
        stored=STORED, late=True, bias=True, limit=_LIMIT,
    )  # fmt: skip
    return replace(decoder, experts=(experts,) * decoder.num_layers, sinks=True)


def _keys(config: Config, decoder: Decoder) -> dict[str, Value]:
    read = FAMILY.reader(config)
    local = [kind == SLIDING for kind in layer_kinds(read, None if config.get("layer_types") else 2)]
    pattern = [layer % 2 == 0 for layer in range(len(local))]
    keys = {"attention.sliding_window": u32(read.size("sliding_window"))}
    return keys if local == pattern else keys | {"attention.sliding_window_pattern": array(Kind.BOOL, local)}


FAMILY = Family(
    "gpt_oss",
    "GptOssForCausalLM",
    common(
        without=("mlp_bias",),
        attention_bias=True,
        num_key_value_heads=8,
        head_dim=64,
        rms_norm_eps=1e-05,
        rope_theta=150000.0,
        sliding_window=128,
        max_position_embeddings=131072,
        num_local_experts=128,
        num_experts_per_tok=4,
    ),
    full_every=2,
    experts=STORED,
    details=_described,
    rope=_rope,
    also_reads=COUNTS | {"swiglu_limit", "swiglu_alpha", "initial_context_length"},
    gguf=Gguf(
        "gpt-oss",
        windows=True,
        flatten=_with_table,
        keys=_keys,
        names={"post_attention_layernorm": "post_attention_norm", "self_attn.sinks": "attn_sinks.weight"},
    ),
)
