"""Names of the files of an ONNX artifact, and of its graphs' inputs and outputs."""

from __future__ import annotations

import re

from ..program.ops import State

TEXT = "model"
MODEL = f"{TEXT}.onnx"
LANGUAGE, TEXT_EMBEDDINGS, VISION_EMBEDDINGS = VISION_PARTS = ("decoder_model_merged", "embed_tokens", "vision_encoder")
"""The three models of a vision-language model, as transformers.js names such parts; the one that generates first."""
GENAI = "genai_config.json"
IDS, EMBEDS, LOGITS = "input_ids", "inputs_embeds", "logits"
PIXELS, FEATURES = "pixel_values", "image_features"


CACHE = re.compile(r"past_key_values\.\d+\.(?:key|value)|past_(?:conv|recurrent)\.\d+")
"""Inputs that hold what a layer keeps: keys and values, which grow, or a state of one size."""


def continued(name: str) -> str:
    """Return the output that continues such an input."""
    return name.replace("past_key_values", "present").replace("past_", "present_")


def past(state: State) -> str:
    """Name the input of what a layer kept, as transformers.js does."""
    return f"past_{state.kind}.{state.layer}"


def present(state: State) -> str:
    """Name the output of what it keeps then."""
    return f"present_{state.kind}.{state.layer}"
