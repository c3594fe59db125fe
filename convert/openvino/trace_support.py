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


VISION = frozenset(["llava", "llava_next"])
"""Types of images and text that optimum-intel 2.2.0 registers without a cap below transformers 5.5, that transformers
implements, and whose IRs agree with torch (test_trace_vision.py)."""

VISION_UNPROVEN = frozenset(["gemma3", "mistral3"])
"""Such types that optimum-intel exports, but whose IRs we have not seen to agree with torch to 1e-3."""

VISION_LIFTED = {"qwen2_vl": "5.0", "qwen2_5_vl": "5.0", "qwen3_vl": "5.0"}
"""Such types whose cap we have looked at: test_trace_vision.py compares them with torch."""

VISION_CAPPED = {
    "got_ocr2": "4.57.6", "idefics3": "4.57.6", "llama4": "4.57.6", "llava_next_video": "4.57.6", "qwen3_5": "5.2.99",
    "qwen3_5_moe": "5.2.99", "smolvlm": "4.57.6",
}  # fmt: skip
"""Such types that it exports only under transformers up to this version, which cannot be lifted or that we did not look at."""


def sees(config: dict[str, Any]) -> bool:
    """True if a checkpoint with this config.json takes images and text, and the trace engine makes several IRs of it."""
    return config["model_type"] in VISION or config["model_type"] in VISION_LIFTED


def known(model_type: str) -> bool:
    """Whether the engine exports checkpoints of this type, from transformers' own classes."""
    return model_type in SUPPORTED or model_type in LIFTED or sees({"model_type": model_type})


def supported(config: dict[str, Any]) -> str | None:
    """Return None if the trace engine can export a checkpoint with this config.json, else the reason as a sentence."""
    kind = config["model_type"]
    if config.get("is_encoder_decoder"):
        return f"{kind} is an encoder-decoder, and only decoders can be exported."
    if known(kind):
        return None
    if kind in VISION_UNPROVEN:
        return f"the IRs that optimum-intel 2.2 makes of {kind} have not been seen to agree with torch."
    cap = (CAPPED | VISION_CAPPED).get(kind)
    if cap:
        return f"optimum-intel 2.2 exports {kind} only under transformers up to {cap}."
    wanted = "text-generation"
    if "vision_config" in config:
        wanted = "image-text-to-text"
    return f"optimum-intel 2.2 has no {wanted} export for {kind}."
