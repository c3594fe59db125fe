"""Families that have no file here: what is known of the types that only the trace engines take.

OpenVINO's are taken by optimum-intel, ONNX's by torch and our own translation. A family that gets a file of its own leaves
`ALWAYS_SO` and the like; these tables say what the other tools do, whoever streams it too.
tests/convert/openvino/test_trace_support.py compares the first with the installed optimum-intel's registry.
"""

from __future__ import annotations

SUPPORTED = frozenset(
    [
        "afmoe", "arcee", "biogpt", "bloom", "codegen", "cohere", "cohere2", "falcon", "glm4", "gpt2", "gpt_bigcode",
        "gpt_neo", "gpt_neox", "gpt_neox_japanese", "gpt_oss", "gptj", "granite", "granitemoe", "granitemoehybrid",
        "hunyuan_v1_dense", "llama", "mistral", "mixtral", "mpt", "olmo", "olmo2", "opt", "persimmon", "phi", "phi3",
        "phimoe", "qwen2", "qwen2_moe", "qwen3", "qwen3_moe", "smollm3", "stablelm", "starcoder2", "xglm",
    ]
)  # fmt: skip
"""Decoder-only types that optimum-intel 2.2.0 registers for text generation with a cache, without a cap below
transformers 5.5, and that transformers itself implements."""

LIFTED = {"gemma3_text": "5.0", "glm": "5.0"}
"""Types that optimum-intel caps at an older transformers although the export is right; the cap that we looked at.

optimum-intel gives no reason for these caps. Under transformers 5.5 the exported graphs agree with torch to 1e-5
(test_trace.py), so the check is left out for them. Another cap, or a newer transformers, needs another look.
"""

CAPPED = {
    "bitnet": "4.57.6", "dbrx": "4.57.6", "deepseek_v2": "4.53.3", "deepseek_v3": "4.53.3", "exaone4": "4.57.6",
    "falcon_mamba": "5.3.0", "gemma": "5.0", "gemma2": "5.0", "gemma3n_text": "5.0", "gemma4_text": "5.0", "lfm2": "5.4.0",
    "lfm2_moe": "5.4.0", "llama4_text": "4.57.6", "mamba": "5.3.0", "qwen3_5_moe_text": "5.2.99", "qwen3_5_text": "5.2.99",
    "qwen3_next": "4.57.6", "zamba2": "4.57.6",
}  # fmt: skip
"""Types that it exports only under transformers up to this version, which we have not looked at."""

TRACED = frozenset(
    [
        "apertus", "arcee", "biogpt", "bloom", "codegen", "cohere", "cohere2", "diffllama", "ernie4_5", "exaone4",
        "falcon", "gemma", "gemma2", "gemma3_text", "glm", "glm4", "gpt2", "gpt_bigcode", "gpt_neo", "gpt_neox",
        "gpt_neox_japanese", "gptj", "granite", "helium", "hunyuan_v1_dense", "llama", "ministral", "mistral", "mpt", "nemotron",
        "olmo", "olmo2", "olmo3", "opt", "persimmon", "phi", "phi3", "qwen2", "qwen3", "seed_oss", "smollm3",
        "stablelm", "starcoder2", "vaultgemma",
    ]
)  # fmt: skip
"""Decoder-only types of transformers 5.5 whose ONNX graph was seen to agree with torch, prefilled and token by token."""

RECURRENT = frozenset(
    [
        "bamba", "falcon_h1", "falcon_mamba", "granitemoehybrid", "jamba", "kimi_linear", "lfm2", "lfm2_moe", "mamba",
        "mamba2", "minimax", "nemotron_h", "olmo_hybrid", "plamo2", "qwen3_5_moe_text", "qwen3_5_text", "qwen3_next",
        "recurrent_gemma", "rwkv", "xlstm", "zamba", "zamba2",
    ]
)  # fmt: skip
"""Types whose layers keep a state besides keys and values, or instead."""

ALWAYS_SO = {
    "apertus": frozenset(["qk_norm"]),
}
"""Families that do what a field says whatever it says."""
SCALES_QUERIES = ("ministral3", "mistral4")
"""Families that read llama_4_scaling_beta."""
CONV1D = ("gpt2",)
"""Decoders that keep linear layers as transformers' `Conv1D`, which stores [in, out]."""
