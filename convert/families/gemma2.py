"""Gemma 2: four norms a block whose weights lack 1, windows in every second layer, capped scores and logits.

Sources: `transformers/models/gemma2/`; `src/models/gemma2.cpp` and `conversion/gemma.py` of llama.cpp.
"""

from __future__ import annotations

from ..gguf_values import Value, f32, u32
from ..program.decoder import Decoder
from ..program.gguf_spec import GELU_BUDGETS, Gguf, GgufKeys, GgufTensors, require_tied
from ..program.reading import Config, UnsupportedArchitecture
from ..program.spec import Family
from ..program.windows import FULL, layer_kinds
from .gemma import NORMS, described

_CAPS = ("attn_logit_softcapping", "final_logit_softcapping")
"""Names of the caps in config.json and in a GGUF."""
_BIGGEST = 46
"""Layers of the model (27B) whose scores llama.cpp's graph scales by width by heads, not by the head's width."""


def _scalar(layers: int, heads: int, hidden: int, head_dim: int) -> int:
    return hidden // heads if layers == _BIGGEST else head_dim


def _keys(config: Config, decoder: Decoder) -> dict[str, Value]:
    """Return window and caps; refuse what llama.cpp's graph has built in otherwise."""
    read = FAMILY.reader(config)
    kinds = [kind == FULL for kind in layer_kinds(read, FAMILY.full_every)]
    built_in = _scalar(decoder.num_layers, decoder.num_heads, decoder.hidden_size, decoder.head_dim)
    caps = dict(zip(_CAPS, (decoder.attention_softcap, decoder.logit_softcap), strict=True))
    if kinds != [layer % 2 == 1 for layer in range(decoder.num_layers)] or None in caps.values():
        raise UnsupportedArchitecture(
            "not every second layer has a window, or it has no caps, where llama.cpp's gemma2 has"
        )
    if read.get("query_pre_attn_scalar") != built_in:
        raise UnsupportedArchitecture(f"query_pre_attn_scalar is not {built_in}, with which llama.cpp computes")
    window = {"attention.sliding_window": u32(read.size("sliding_window"))}
    return require_tied(config, decoder) | window | {key: f32(cap) for key, cap in caps.items() if cap}


def _to_config(file: GgufTensors, keys: GgufKeys) -> dict[str, object]:
    layers, heads, hidden = (keys.size(key) for key in ("block_count", "attention.head_count", "embedding_length"))
    return {
        "query_pre_attn_scalar": _scalar(layers, heads, hidden, keys.size("attention.key_length", hidden // heads)),
        "sliding_window": keys.size("attention.sliding_window", 4096),
        "attention_bias": False,
        **{name: keys.number(name, FAMILY.defaults[name]) for name in _CAPS},
    }


FAMILY = Family(
    "gemma2",
    "Gemma2ForCausalLM",
    {
        "rope_theta": 10_000.0,
        "head_dim": 256,
        "vocab_size": 256000,
        "hidden_size": 2304,
        "intermediate_size": 9216,
        "num_hidden_layers": 26,
        "num_attention_heads": 8,
        "num_key_value_heads": 4,
        "rms_norm_eps": 1e-06,
        "hidden_act": "gelu_pytorch_tanh",
        "tie_word_embeddings": True,
        "query_pre_attn_scalar": 256,
        "attention_bias": False,
        "sliding_window": 4096,
        "max_position_embeddings": 8192,
        "final_logit_softcapping": 30.0,
        "attn_logit_softcapping": 50.0,
    },
    norms=NORMS,
    norm_offset=1.0,
    full_every=2,
    aliases={"hidden_activation": "hidden_act"},
    also_reads=frozenset(["use_bidirectional_attention"]),
    details=described,
    gguf=Gguf(
        "gemma2",
        activation="gelu_pytorch_tanh",
        windows=True,
        norm_offset=1.0,
        keys=_keys,
        reads=frozenset(["attention.sliding_window", *_CAPS]),
        to_config=_to_config,
        budgets=GELU_BUDGETS,
    ),
)
