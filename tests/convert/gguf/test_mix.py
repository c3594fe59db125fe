"""The mix against llama-quantize's own choices, and against the sizes of files that GLM-Edge's makers publish."""

import re
from dataclasses import dataclass

import numpy as np
import pytest

from edgeconv.convert.gguf import mix
from edgeconv.convert.gguf.describe import describe
from edgeconv.convert.gguf.layout import facts
from edgeconv.convert.gguf.recipe import FILE_TYPES, recipe
from edgeconv.core.errors import UsageError
from edgeconv.quantize.ggml.types import TYPES

from . import llama_cpp
from .samples import GEMMA, config, write_checkpoint, write_gguf

EDGE_1_5B = config(
    model_type="glm", hidden_size=2048, intermediate_size=6144, num_hidden_layers=28, num_attention_heads=16,
    num_key_value_heads=4, head_dim=128, vocab_size=59264,
)  # fmt: skip
EDGE_4B = EDGE_1_5B | {
    "hidden_size": 3072, "intermediate_size": 8192, "num_hidden_layers": 40, "num_attention_heads": 24,
    "num_key_value_heads": 6,
}  # fmt: skip


@dataclass(frozen=True)
class Matrix:
    name: str
    shape: tuple[int, ...]


def chosen(fields, kind, importance=None, stored="bf16", **options):
    model = describe(fields)
    return mix.assign([(t, stored) for t in model.tensors], facts(model), recipe(kind, **options), importance)


@pytest.mark.parametrize(
    ("fields", "kind", "tensor_bytes", "file_bytes"),
    [
        (EDGE_1_5B, "q4_k_m", 977_197_056, 980_470_144),
        (EDGE_4B, "q4_k_m", 2_624_209_920, 2_627_489_280),
        (EDGE_1_5B, "q4_0", 927_995_904, 931_269_056),
    ],
)
def test_sizes_of_published_files(fields, kind, tensor_bytes, file_bytes):
    """zai-org/glm-edge-1.5b-chat-gguf, -4b-chat-gguf and -v-2b-gguf; what is not tensors there is 3.27 MB of vocabulary."""
    found = chosen(fields, kind).types
    size = sum(int(np.prod(t.shape[:-1])) * found[t.name].row_bytes(t.shape[-1]) for t in describe(fields).tensors)
    assert size == tensor_bytes
    assert 3_270_000 < file_bytes - size < 3_285_000


WIDE = {"hidden_size": 256, "intermediate_size": 256, "head_dim": 64, "num_hidden_layers": 9}
EXPERTS = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 256, "norm_topk_prob": True}
MODELS = {
    "deep": {"num_hidden_layers": 37},
    "glm, tied": {"model_type": "glm", **WIDE, "tie_word_embeddings": True},
    "llama, shared keys": {**WIDE, "num_key_value_heads": 1, "num_hidden_layers": 8},
    "phi3, one qkv": {"model_type": "phi3", **WIDE, "num_hidden_layers": 17},
    "gemma3": {**WIDE, **GEMMA, "query_pre_attn_scalar": 64},
    "experts": {"model_type": "qwen3_moe", **WIDE, **EXPERTS},
    "eight experts": {"model_type": "qwen3_moe", **WIDE, **EXPERTS, "num_experts": 8, "num_hidden_layers": 16},
    "latent": {
        "model_type": "deepseek_v3",
        **WIDE,
        "num_key_value_heads": 4,
        "q_lora_rank": 256,
        "kv_lora_rank": 256,
        "qk_nope_head_dim": 256,
        "qk_rope_head_dim": 64,
        "v_head_dim": 64,
        "n_routed_experts": 16,
        "n_group": 2,
        "topk_group": 1,
        "num_experts_per_tok": 2,
        "moe_intermediate_size": 256,
        "first_k_dense_replace": 1,
        "rms_norm_eps": 1e-6,
    },
    "narrow": {
        "hidden_size": 320,
        "num_attention_heads": 5,
        "num_key_value_heads": 5,
        "head_dim": 64,
        "intermediate_size": 288,
    },
}
OPTIONS = [
    {},
    {"pure": True},
    {"leave_output": True},
    {"output_type": "q5_0"},
    {"token_embedding_type": "q5_1"},
    {"output_type": "q5_0", "token_embedding_type": "q8_0"},
]


@pytest.mark.parametrize("name", MODELS)
def test_every_choice_is_llama_quantizes(name, tmp_path):
    source = write_checkpoint(tmp_path / "source", config(**MODELS[name]))
    write_gguf(source, tmp_path / "f32.gguf", "f32")
    for kind, entry in FILE_TYPES.items():
        for options in OPTIONS:
            if name in ("deep", "narrow") and "pure" in options:
                continue  # this build of llama.cpp does not fall back then; later ones do
            theirs = llama_cpp.choices(tmp_path / "f32.gguf", entry.number, **upstream(options))
            ours = chosen(config(**MODELS[name]), kind, stored="f32", **options).types
            assert [(tensor, found.name) for tensor, found in ours.items()] == list(theirs.items()), (kind, options)


def upstream(options):
    """The same in the fields of llama_model_quantize_params."""
    fields = {"quantize_output_tensor": "leave_output" not in options, "pure": "pure" in options}
    for ours, field in (("output_type", "output_tensor_type"), ("token_embedding_type", "token_embedding_type")):
        if ours in options:
            fields[field] = TYPES[options[ours]].number
    return fields


def test_importance_changes_the_mix_of_legacy_types():
    """With a matrix q4_0 guards the first eighth of ffn_down; iq4 guards it without one."""
    down = "blk.0.ffn_down.weight"
    assert chosen(EDGE_1_5B, "q4_0").types[down].name == "q4_0"
    assert chosen(EDGE_1_5B, "q4_0", importance=()).types[down].name == "q4_1"
    assert chosen(EDGE_1_5B, "q5_0", importance=()).types[down].name == "q5_1"
    assert chosen(EDGE_1_5B, "iq4_xs").types[down].name == "q5_k"
    assert chosen(EDGE_1_5B, "iq4_xs", importance=()).types[down].name == "iq4_xs"
    assert chosen(EDGE_1_5B, "q4_0", importance=()).types["blk.3.ffn_down.weight"].name == "q4_0"


def test_overrides_take_the_first_expression_and_do_not_count_as_a_layer():
    found = chosen(
        EDGE_1_5B, "q4_k_m", tensor_types=((r"blk\.[0-2]\.attn_v", "q8_0"), ("ATTN_V", "q5_k"), ("ffn_down", "q2_k"))
    ).types
    assert [found[f"blk.{n}.attn_v.weight"].name for n in range(4)] == ["q8_0"] * 3 + ["q5_k"]
    assert found["blk.27.ffn_down.weight"].name == "q2_k"
    assert found["output.weight"].name == "q6_k"
    only_first = chosen(EDGE_1_5B, "q4_k_m", tensor_types=((r"blk\.0\.ffn_down", "q8_0"),)).types
    # without it layers 0, 1, 2 get more bits; now the counter begins at layer 1, so that 1, 2, 3 do
    assert [only_first[f"blk.{n}.ffn_down.weight"].name for n in range(5)] == ["q8_0", "q6_k", "q6_k", "q6_k", "q4_k"]


def test_70b_rule():
    fields = config(num_hidden_layers=80, num_attention_heads=2, num_key_value_heads=1, head_dim=128, hidden_size=256)
    assert {t.name for n, t in chosen(fields, "q4_k_s").types.items() if "attn_v" in n} == {"q5_k"}
    assert {t.name for n, t in chosen(fields | {"model_type": "qwen3"}, "q4_k_s").types.items() if "attn_v" in n} == {
        "q5_k", "q4_k",
    }  # fmt: skip


def test_narrow_rows_fall_back_and_say_so():
    found = chosen(config(hidden_size=96, head_dim=24, intermediate_size=80), "q4_k_m")
    assert found.types["blk.0.attn_q.weight"].name == "q5_0"
    assert found.types["blk.0.ffn_down.weight"].name == "f16"  # 80 is not a multiple of 32 either
    assert found.types["token_embd.weight"].name == "q5_0"
    assert found.types["output.weight"].name == "q8_0"
    assert any(
        re.fullmatch(r"\d+ tensors \(token_embd\.weight … blk\..*\): q5_0 in place of q4_k, .* do not divide 96", note)
        for note in found.fallbacks
    )
    assert any("ffn_down.weight" in note and ": f16 in place of q" in note for note in found.fallbacks)
    assert len(found.fallbacks) <= 6  # one line for each kind of change, not for each tensor


def test_a_named_type_must_fit():
    with pytest.raises(UsageError, match=r"token_embd.weight has rows of 96"):
        chosen(config(hidden_size=96, head_dim=24), "q4_k_m", token_embedding_type="q4_k")


def test_vectors_and_norms_stay_float32_and_odd_matrices_as_they_are():
    listed = [
        (Matrix("a_norm.weight", (8, 256)), "bf16"),
        (Matrix("blk.0.attn_q.bias", (256,)), "f16"),
        (Matrix("one.weight", (1, 256)), "bf16"),
        (Matrix("table", (4, 256)), "f16"),
    ]
    found = mix.assign(listed, mix.Facts(1, 1), recipe("q8_0")).types
    assert {name: kind.name for name, kind in found.items()} == {
        "a_norm.weight": "f32", "blk.0.attn_q.bias": "f32", "one.weight": "bf16", "table": "f16",
    }  # fmt: skip
