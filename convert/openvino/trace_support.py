"""Which model types the trace engine takes: a table, because asking optimum-intel itself imports torch for seconds.

tests/convert/openvino/test_trace_support.py compares the table with the registry of the installed optimum-intel.
"""

from __future__ import annotations

from typing import Any

SUPPORTED = frozenset(
    [
        "afmoe",
        "arcee",
        "biogpt",
        "bloom",
        "codegen",
        "cohere",
        "cohere2",
        "falcon",
        "glm4",
        "gpt2",
        "gpt_bigcode",
        "gpt_neo",
        "gpt_neox",
        "gpt_neox_japanese",
        "gpt_oss",
        "gptj",
        "granite",
        "granitemoe",
        "granitemoehybrid",
        "hunyuan_v1_dense",
        "llama",
        "mistral",
        "mixtral",
        "mpt",
        "olmo",
        "olmo2",
        "opt",
        "persimmon",
        "phi",
        "phi3",
        "phimoe",
        "qwen2",
        "qwen2_moe",
        "qwen3",
        "qwen3_moe",
        "smollm3",
        "stablelm",
        "starcoder2",
        "xglm",
    ]
)
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


def supported(config: dict[str, Any]) -> str | None:
    """Return None if the trace engine can export a checkpoint with this config.json, else the reason as a sentence."""
    kind = config["model_type"]
    quantised = config.get("quantization_config")
    if quantised:
        method = quantised.get("quant_method", "unknown") if isinstance(quantised, dict) else "unknown"
        return f"The checkpoint is already quantised ({method}); take the original weights."
    if config.get("is_encoder_decoder"):
        return f"{kind} is an encoder-decoder, and only decoders can be exported."
    if kind in SUPPORTED or kind in LIFTED:
        return None
    if kind in CAPPED:
        return f"optimum-intel 2.2 exports {kind} only under transformers up to {CAPPED[kind]}."
    return f"optimum-intel 2.2 has no text-generation export for {kind}."
