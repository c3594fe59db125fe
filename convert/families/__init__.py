"""The model families: what a config.json means. One file a family; this table is where a new one is entered."""

from __future__ import annotations

from collections.abc import Iterable
from types import ModuleType
from typing import Any

from . import glm, glm_edge_v, llama, phi3
from .decoder import Decoder, NotExpressible
from .glm_edge_v import Vision

_BY_TYPE: dict[str, ModuleType] = {kind: module for module in (glm, llama, phi3) for kind in module.MODEL_TYPES}
STREAMED = tuple(sorted(_BY_TYPE))
"""Model types whose block the stream engine can build."""
_BY_TYPE[Vision.family] = glm  # its language half
_SIZES = frozenset(
    [
        "model_type", "vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads",
        "rope_scaling", "rope_parameters",
    ]
)  # fmt: skip
"""Fields that every family's reader reads beside those that it has defaults for."""


def decoder(config: dict[str, Any]) -> Decoder:
    """Describe the checkpoint's decoder.

    Raises:
        NotExpressible: the stream engine cannot build it, with the reason.
    """
    kind = config["model_type"]
    if kind not in _BY_TYPE:
        raise NotExpressible(f"the block of model_type {kind} is not one of {', '.join(STREAMED)}")
    described: Decoder = _BY_TYPE[kind].decoder(config)
    return described


def fields(model_type: str) -> frozenset[str]:
    """Return the fields of config.json that the family's reader reads, those of the half that sees included."""
    module = _BY_TYPE[model_type]
    defaults = module.DEFAULTS[model_type] if module is llama else module.DEFAULTS
    seeing = glm_edge_v.FIELDS if module is glm else frozenset()
    return _SIZES | frozenset(defaults) | getattr(module, "ALSO_READ", frozenset()) | seeing


def vision(config: dict[str, Any], names: Iterable[str], decoder: Decoder) -> Vision | None:
    """Describe the half that sees, which a checkpoint has if its tensors say so; None for a text model.

    Raises:
        CheckpointError: config and tensors contradict each other.
    """
    if _BY_TYPE.get(config["model_type"]) is not glm:
        return None
    return glm_edge_v.vision(config, names, decoder)


def int4_default(config: dict[str, Any], vision: Vision | None = None) -> dict[str, Any] | None:
    """Return the makers' own int4 choice (sym, group_size, ratio) for the language half, if the family has one."""
    module = glm_edge_v if vision else _BY_TYPE.get(config["model_type"])
    choose = getattr(module, "int4_default", None)
    default: dict[str, Any] | None = choose(config) if choose else None
    return default


def is_native(config: dict[str, Any]) -> bool:
    """True if the architecture is known without code from the checkpoint."""
    return config["model_type"] in _BY_TYPE
