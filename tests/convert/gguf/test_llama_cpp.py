"""The files in llama.cpp itself: it loads them, tokenizes, stops, quantizes and computes as the checkpoint does."""

import gguf
import numpy as np
import pytest

from edgeconv.builtin import model_path
from edgeconv.convert.families.gemma4_gguf import BUDGETS
from edgeconv.convert.gguf.recipe import FILE_TYPES
from edgeconv.convert.open_checkpoint import open_checkpoint
from edgeconv.core.errors import CheckpointError

from ...ir import torch_logits, torch_model
from ...models import tiny
from . import llama_cpp
from .samples import tensors, types, write_gguf

IDS = np.random.default_rng(7).integers(5, 4000, 200).tolist()
EXACT = 1e-3
"""max |Δlogit| of a float32 file with a float32 cache against torch float32; measured: 7e-5 at logits of 20."""
GELU_TABLE = 2e-2
"""The same for Gemma, whose GELU llama.cpp looks up in a table of float16; measured: 9e-3."""
ROPE = tiny.ROPE
LINEAR = {"rope_type": "linear", "rope_theta": 1e4, "factor": 4.0}
YARN = {"rope_type": "yarn", "rope_theta": 1e4, "factor": 4.0, "original_max_position_embeddings": 64}
LLAMA3 = {
    "rope_type": "llama3", "rope_theta": 5e5, "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
    "original_max_position_embeddings": 64,
}  # fmt: skip
LONGROPE = {
    "rope_type": "longrope", "rope_theta": 1e4, "partial_rotary_factor": 1.0,
    "short_factor": [1 + 0.1 * i for i in range(8)], "long_factor": [1.0 + i for i in range(8)],
}  # fmt: skip
GEMMA = {
    "num_hidden_layers": 7,
    "layer_types": None,
}  # this build of llama.cpp has each sixth layer global, whatever is stated
MODELS = {
    "llama, other theta and epsilon": ("llama", {"rope_parameters": ROPE | {"rope_theta": 1e6}, "rms_norm_eps": 1e-3}),
    "llama, wide heads": ("llama", {"head_dim": 32}),
    "llama, biases": ("llama", {"attention_bias": True, "mlp_bias": True}),
    "llama, scaled as 3.1": ("llama", {"rope_parameters": LLAMA3}),
    "llama, yarn, tied": ("llama", {"rope_parameters": YARN, "tie_word_embeddings": True}),
    "llama, yarn, attention factor": ("llama", {"rope_parameters": YARN | {"attention_factor": 1.5}}),
    "qwen3, yarn, attention factor of 1": ("qwen3", {"rope_parameters": YARN | {"attention_factor": 1.0}}),
    "llama, yarn, borders as they are": ("llama", {"rope_parameters": YARN | {"truncate": False, "beta_fast": 20.0}}),
    "exaone4, yarn, borders as they are": ("exaone4", {
        "sliding_window": None, "layer_types": ["full_attention"] * 2, "rope_parameters": YARN | {"truncate": False}}),
    "ministral3, yarn, borders as they are": ("ministral3", {"rope_parameters": tiny.YARN | {"truncate": False, "mscale": 1.5}}),
    "granite, scaled as Llama's": ("granite", {"rope_parameters": LLAMA3}),
    "granitemoe, yarn, borders as they are": ("granitemoe", {"rope_parameters": YARN | {"truncate": False}}),
    "llama, yarn, mscale": ("llama", {"rope_parameters": YARN | {"mscale": 1.5, "mscale_all_dim": 0.7}}),
    "mistral": ("mistral", {}),
    "olmo2": ("olmo2", {}),
    "olmo2, yarn, a key for all": ("olmo2", {"rope_parameters": YARN, "num_key_value_heads": 1}),
    "olmo3": ("olmo3", {"num_hidden_layers": 5, "layer_types": None, "sliding_window": 24}),
    "olmo3, yarn": ("olmo3", {"num_hidden_layers": 5, "layer_types": None, "sliding_window": 24, "rope_parameters": YARN}),
    "qwen2": ("qwen2", {}),
    "qwen2, yarn": ("qwen2", {"rope_parameters": YARN}),
    "qwen3, wide heads": ("qwen3", {"head_dim": 32}),
    "gemma3": ("gemma3_text", GEMMA),
    "gemma3, capped, stretched": ("gemma3_text", GEMMA | {"final_logit_softcapping": 30.0, "rope_parameters": {
        "sliding_attention": ROPE, "full_attention": LINEAR | {"rope_theta": 1e6}}}),
    "gemma3, all global": ("gemma3_text", {"layer_types": ["full_attention"] * 3}),
    "phi3, half rotary": ("phi3", {"rope_parameters": ROPE | {"partial_rotary_factor": 0.5}}),
    "phi3, long": ("phi3", {"rope_parameters": LONGROPE, "original_max_position_embeddings": 256}),
    "glm": ("glm", {"rope_parameters": ROPE | {"rope_theta": 1e6, "partial_rotary_factor": 1.0}, "rms_norm_eps": 1e-3}),
    "glm, half rotary, biases": ("glm", {"attention_bias": True, "partial_rotary_factor": 0.5,
                                 "rope_parameters": ROPE | {"partial_rotary_factor": 0.5}}),
    "glm, linear": ("glm", {"rope_parameters": LINEAR | {"partial_rotary_factor": 1.0}}),
    "glm4": ("glm4", {}),
    "cohere": ("cohere", {}),
    "phi": ("phi", {}),
    "cohere2": ("cohere2", {"num_hidden_layers": 5, "layer_types": None, "sliding_window": 24}),
    "ernie4_5": ("ernie4_5", {}),
    "ernie4_5_moe": ("ernie4_5_moe", {}),
    "ernie4_5_moe, none shared": ("ernie4_5_moe", {"moe_num_shared_experts": 0, "moe_layer_start_index": 0}),
    "exaone4": ("exaone4", {"sliding_window": None, "layer_types": ["full_attention"] * 2}),
    "gemma": ("gemma", {}),
    "gemma2": ("gemma2", {"num_hidden_layers": 3, "layer_types": None, "sliding_window": 24}),
    "gemma4": ("gemma4_text", {"sliding_window": 17}),
    "gemma4, dense": ("gemma4_text", tiny.STREAMED["gemma4_text-dense"]),
    "hunyuan": ("hunyuan_v1_dense", {"attention_bias": False, "rope_parameters": ROPE | {
        "rope_type": "dynamic", "alpha": 1000.0, "factor": 1.0}}),
    "lfm2": ("lfm2", {}),
    "lfm2_moe": ("lfm2_moe", {}),
    "qwen3_5": ("qwen3_5_text", {}),
    "qwen3_5, a key for each value": ("qwen3_5_text", {"linear_num_key_heads": 4}),
    "qwen3_next": ("qwen3_next", {}),
    "qwen3_next, a key for each value": ("qwen3_next", {"linear_num_key_heads": 4}),
    "ministral3": ("ministral3", {}),
    "exaone4, windows": ("exaone4", {"num_hidden_layers": 64, "intermediate_size": 32, "rope_parameters": LLAMA3,
                                     "layer_types": None, "sliding_window": 24}),
    "exaone4, scaled as Llama's": ("exaone4", {"sliding_window": None, "layer_types": ["full_attention"] * 2,
                                               "rope_parameters": LLAMA3}),
    "smollm3": ("smollm3", {"num_hidden_layers": 5, "no_rope_layers": None}),
    "stablelm": ("stablelm", {}),
    "stablelm, parallel": ("stablelm", {"use_parallel_residual": True}),
    "granite": ("granite", {"attention_multiplier": 0.15, "logits_scaling": 0.5, "tie_word_embeddings": True}),
    "granitemoe": ("granitemoe", {"attention_multiplier": 0.15, "logits_scaling": 0.5}),
    "falcon_h1": ("falcon_h1", {}),
    "falcon_h1, tied, biases": ("falcon_h1", {"tie_word_embeddings": True, "mlp_bias": True}),
    "falcon_h1, normed": ("falcon_h1", {"mamba_rms_norm": True, "mamba_n_groups": 2, "mamba_d_ssm": 64, "mamba_d_head": 8}),
    "mamba2": ("mamba2", {}),
    "mamba2, tied": ("mamba2", {"tie_word_embeddings": True}),
    "granitemoehybrid": ("granitemoehybrid", {"attention_multiplier": 0.15, "logits_scaling": 0.5}),
    "granitemoehybrid, dense": ("granitemoehybrid", {"num_local_experts": 0, "num_hidden_layers": 3,
                                                     "layer_types": ["mamba", "attention", "mamba"]}),
    "granitemoehybrid, attention": ("granitemoehybrid", {"num_local_experts": 0, "layer_types": ["attention"] * 2,
                                                         "position_embedding_type": "rope"}),
    "granitemoehybrid, attention, experts": ("granitemoehybrid", {"layer_types": ["attention"] * 2}),
    "glm4_moe": ("glm4_moe", {"num_hidden_layers": 3}),
    "glm4_moe_lite": ("glm4_moe_lite", {}),
    "deepseek_v2": ("deepseek_v2", {}),
    "deepseek_v2, other factors": ("deepseek_v2", {"q_lora_rank": 32, "rope_parameters": tiny.LATENT_YARN | {"mscale": 0.5}}),
    "deepseek_v2, factors of cosines alone": ("deepseek_v2", {"rope_parameters": tiny.LATENT_YARN | {"mscale_all_dim": None}}),
    "deepseek_v3": ("deepseek_v3", {}),
    "gpt_oss": ("gpt_oss", {"num_hidden_layers": 3, "layer_types": None}),
    "mixtral": ("mixtral", {}),
    "qwen2_moe": ("qwen2_moe", {}),
    "qwen3_moe": ("qwen3_moe", {}),
}  # fmt: skip


@pytest.mark.parametrize("name", MODELS)
def test_logits_are_those_of_torch(name, tiny_model, tmp_path, monkeypatch):
    monkeypatch.setitem(
        tiny.FAMILIES, "glm4", {"attention_bias": True, "rope_parameters": ROPE | {"partial_rotary_factor": 0.5}}
    )
    model_type, fields = MODELS[name]
    source = tiny_model(model_type, **fields)
    write_gguf(source, tmp_path / "a.gguf", "f32")
    reference = torch_logits(torch_model(source), IDS)
    found = llama_cpp.logits(tmp_path / "a.gguf", IDS)
    assert reference.std() > 0.3
    allowed = (
        BUDGETS["conversion"][0]
        if model_type == "gemma4_text"
        else GELU_TABLE
        if "gemma" in model_type or model_type == "phi"
        else EXACT
    )
    assert np.abs(found - reference).max() < allowed


WIDE = {
    "hidden_size": 256, "intermediate_size": 512, "hidden_size_per_layer_input": 256, "head_dim": 64, "global_head_dim": 128,
    "num_hidden_layers": 8, "layer_types": ["sliding_attention", "full_attention"] * 4,
}  # fmt: skip


@pytest.mark.parametrize("kind", ["q8_0", "q4_0", "q4_k_m", "q2_k"])
def test_types_of_per_layer_inputs_are_llama_quantizes(kind, tiny_model, tmp_path):
    source = tiny_model("gemma4_text", **WIDE)
    write_gguf(source, tmp_path / "bf16.gguf", "bf16")
    theirs = llama_cpp.quantize(tmp_path / "bf16.gguf", tmp_path / "theirs.gguf", FILE_TYPES[kind].number)
    write_gguf(source, tmp_path / "ours.gguf", kind)
    assert types(tmp_path / "ours.gguf") == types(theirs)


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"layer_types": ["mamba"] * 2}, "none of its layers attends"),
        ({"mamba_n_groups": 2}, "llama.cpp normalizes each of the 2 groups"),
        ({"mamba_proj_bias": True}, "the projections of its scans have biases"),
        ({"time_step_limit": [0.5, 2.0]}, "kept within"),
        ({"mamba_expand": 4, "mamba_d_head": 32}, "its scans are 256 wide, and llama.cpp's twice the model"),
        ({"family": "falcon_h1", "attention_bias": True}, "its output projections have biases"),
        ({"family": "falcon_h1", "projectors_bias": True}, "the projections of its scans have biases"),
        ({"family": "falcon_h1", "mamba_rms_norm": True, "mamba_norm_before_gate": True}, "normalized before the gate"),
    ],
)
def test_scans_that_llama_cpp_lacks_are_refused(fields, why, tiny_model, tmp_path):
    source = tiny_model(
        **{"model_type": "granitemoehybrid", **{k.replace("family", "model_type"): v for k, v in fields.items()}}
    )
    with pytest.raises(CheckpointError, match=why):
        write_gguf(source, tmp_path / "a.gguf", "f32")


def test_layers_that_llama_cpp_gives_other_caches_are_refused(tiny_model, tmp_path):
    kinds = ["full_attention", "sliding_attention"] * 2 + ["sliding_attention", "full_attention"]
    source = tiny_model("gemma4_text", num_hidden_layers=6, layer_types=kinds)
    with pytest.raises(CheckpointError, match="not a local and a global one"):
        write_gguf(source, tmp_path / "a.gguf", "f32")


def test_a_gemma_4_of_llama_cpp_is_not_read_as_another_model(tiny_model, tmp_path):
    write_gguf(tiny_model("gemma4_text"), tmp_path / "a.gguf", "f32")
    with pytest.raises(CheckpointError, match="'gemma4', which cannot be read"):
        open_checkpoint(tmp_path / "a.gguf")


@pytest.fixture(scope="module")
def built_in(tmp_path_factory):
    path = tmp_path_factory.mktemp("built-in") / "bf16.gguf"
    write_gguf(model_path(), path, "bf16")
    return path


@pytest.mark.parametrize("kind", ["f16", "q8_0", "q4_0", "q5_1", "q3_k_l", "q4_k_m", "q6_k", "iq4_xs"])
def test_data_are_llama_quantizes_byte_for_byte(kind, built_in, tmp_path):
    theirs = llama_cpp.quantize(built_in, tmp_path / "theirs.gguf", FILE_TYPES[kind].number)
    write_gguf(model_path(), tmp_path / "ours.gguf", kind)
    assert types(tmp_path / "ours.gguf") == types(theirs)
    starts = [gguf.GGUFReader(path).data_offset for path in (tmp_path / "ours.gguf", theirs)]
    ours, other = ((p.read_bytes()[at:]) for p, at in zip((tmp_path / "ours.gguf", theirs), starts, strict=True))
    assert ours == other


TEXTS = (
    "Everyone has the right to freedom of thought.", "人人生而自由,在尊严和权利上一律平等。",
    "  two  spaces\n\n\ttab 12345 I'M he's", "def f(x):\n    return x ** 2  # naïve 🚀", "<|user|>\nhello<|assistant|>",
)  # fmt: skip


def test_tokenizer_and_ends_are_the_checkpoints(built_in):
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(model_path() / "tokenizer.json"))
    model = llama_cpp.load(built_in)
    vocabulary = model.get_vocab()
    for text in TEXTS:
        assert list(vocabulary.tokenize(text, False, True)) == tokenizer.encode(text).ids
    assert [n for n in range(vocabulary.n_vocab) if vocabulary.is_eog(n)] == [4084, 4091, 4093]
    assert not vocabulary.get_add_bos()
    assert model.n_ctx_train == 8192


def test_sentencepiece_tokenizes_as_the_library(tmp_path):
    from tokenizers import Tokenizer

    from .samples import config, write_checkpoint
    from .test_tokenizer_spm import tokenizer_json
    from .test_tokenizer_spm import write as write_tokenizer

    source = write_checkpoint(tmp_path / "source", config(vocab_size=270, eos_token_id=2))
    write_tokenizer(source, fast=tokenizer_json())
    write_gguf(source, tmp_path / "a.gguf", "q8_0")
    model = llama_cpp.load(tmp_path / "a.gguf")  # its vocabulary does not keep it alive
    vocabulary = model.get_vocab()
    tokenizer = Tokenizer.from_file(str(source / "tokenizer.json"))
    for text in ("abc ab", "cab  abcabcabcé", "abab", "bcbcabab\n"):
        assert list(vocabulary.tokenize(text, True, True)) == tokenizer.encode(text).ids


def test_split_files_load_as_one(tmp_path):
    whole, _ = write_gguf(model_path(), tmp_path / "whole.gguf", "q8_0")
    prepared, _ = write_gguf(model_path(), tmp_path / "part.gguf", "q8_0", split_max_size=2_000_000)
    assert len(prepared.layout.files) > 2
    first = tmp_path / prepared.layout.files[0].name
    assert np.array_equal(llama_cpp.logits(first, IDS[:20]), llama_cpp.logits(tmp_path / "whole.gguf", IDS[:20]))
    assert len(tensors(first)) < len(whole.layout.tensors)
