"""Qwen2 and Qwen3 (arch "qwen2", "qwen3"); llama.cpp turns halves here, so rows stay as they are.

Sources: `src/models/qwen2.cpp`, `src/models/qwen3.cpp` and `conversion/qwen.py` of llama.cpp.
"""

from __future__ import annotations

from typing import Any

from ... import families
from ...families import llama
from . import config as read
from .model import Model, model, refuse, require_activation, require_square

MODEL_TYPES = ("qwen2", "qwen3")


def fields(model_type: str) -> frozenset[str]:
    """Return the fields of config.json that are read."""
    return families.fields(model_type)


def describe(config: dict[str, Any]) -> Model:
    """Read config.json. Raises CheckpointError for what llama.cpp's graph lacks."""
    arch = config["model_type"]
    decoder = read.decoder(config)
    require_activation(decoder, "silu", arch)
    if arch == "qwen2":
        require_square(decoder, arch)
    if decoder.output_bias:
        raise refuse("its output projections have biases, which llama.cpp's qwen3 does not load")
    context = read.context(config, llama.DEFAULTS[arch]["max_position_embeddings"])
    scaling = read.scaling(config, decoder, context)
    notes: tuple[str, ...] = ()
    if config.get("use_sliding_window", False):
        context, notes = read.within_window(config, 4096, context)
    return model(arch, decoder, context, keys=scaling.keys, notes=notes)
