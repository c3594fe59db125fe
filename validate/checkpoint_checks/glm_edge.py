"""What is published of GLM-Edge (THUDM/glm-edge-1.5b-chat, -4b-chat, -v-2b, -v-5b) beside its checkpoints' own files.

Sources: the demos and the fine-tuning code of zai-org/GLM-Edge; tests of openvino.genai and of huggingface/optimum-intel that
quote the tokenizer's configuration; GLM-OCR's config.json, whose vocabulary has the same special tokens at the same ids.
"""

from __future__ import annotations

from typing import Any

from ...convert import families
from ...convert.families.glm_edge_v_model.facts import ADAPTER_GELU, ADAPTER_NORM_EPS

VOCABULARY = 59264
"""Rows of the embedding of all four models."""

MARKERS = {
    "<|endoftext|>": 59246,
    "<|system|>": 59252,
    "<|user|>": 59253,
    "<|assistant|>": 59254,
    "<|observation|>": 59255,
}
"""The tokens that structure a conversation, with their ids in that vocabulary. 59252 is inferred: the token before `<|user|>`."""

ENDS = ("<|endoftext|>", "<|user|>", "<|observation|>")
"""The tokens that end an answer."""

ROTARY_NOTE = (
    "GLM-OCR, which shares GLM-Edge's tokenizer and head size, states 1.0, and so should GLM-Edge; with half of each head "
    "unrotated it is another model. Look at the repository's other revisions."
)
EVIDENCE = {
    "the adapter's GELU": (
        "the adapter's tensors are those of `GLU` in visual.py of THUDM/glm-4v-9b, whose act1 is nn.GELU(), the exact form; "
        "llama.cpp's graph takes the tanh form, which differs by 5e-4 at most "
        f"(models/glm_edge_v/facts.py: ADAPTER_GELU = {ADAPTER_GELU!r})"
    ),
    "the adapter's normalization": (
        "the same `GLU`, whose norm1 is nn.LayerNorm with torch's default; llama.cpp's graph takes the tower's 1e-6; it matters "
        f"only where a row's variance is near 1e-5 (models/glm_edge_v/facts.py: ADAPTER_NORM_EPS = {ADAPTER_NORM_EPS})"
    ),
}
"""Beginning of a sentence in `Vision.assumed` → why we believe it."""


def is_glm_edge(config: dict[str, Any]) -> bool:
    """Tell GLM-Edge from the GLM-4 models of the same model type, which have biases on q, k and v."""
    return families.vision_part(config["model_type"]) is not None and config.get("attention_bias", True) is False
