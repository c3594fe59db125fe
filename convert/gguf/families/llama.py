"""Llama and Mistral (arch "llama").

llama.cpp turns neighbouring pairs here, transformers halves: the rows of each head of q and k are reordered, biases too.
Sources: `src/models/llama.cpp` and `conversion/llama.py` of llama.cpp.
"""

from __future__ import annotations

from typing import Any

from ... import families
from ...families import llama
from . import config as read
from .model import Model, model, require_activation

MODEL_TYPES = ("llama", "mistral")
ARCH = "llama"


def fields(model_type: str) -> frozenset[str]:
    """Return the fields of config.json that are read."""
    return families.fields(model_type)


def describe(config: dict[str, Any]) -> Model:
    """Read config.json. Raises CheckpointError for what llama.cpp's graph lacks."""
    defaults = llama.DEFAULTS[config["model_type"]]
    decoder = read.decoder(config)
    require_activation(decoder, "silu", ARCH)
    context = read.context(config, defaults["max_position_embeddings"])
    scaling = read.scaling(config, decoder, context, llama3=True)
    notes: tuple[str, ...] = ()
    if "sliding_window" in defaults:
        context, notes = read.within_window(config, defaults["sliding_window"], context)
    return model(
        ARCH, decoder, context,
        keys=scaling.keys, constants=scaling.factors, halves_to_neighbours=True, notes=notes,
    )  # fmt: skip
