"""The architectures that can be written as GGUF, one file a family; this table is where a new one is entered."""

from __future__ import annotations

import struct
from types import ModuleType
from typing import Any

from ....core.errors import CheckpointError
from ...families.decoder import NotExpressible
from . import gemma3, glm, glm4, llama, phi3, qwen
from .model import Model, Tensor, refuse

__all__ = ["SUPPORTED", "Model", "Tensor", "describe", "fields"]

_BY_TYPE: dict[str, ModuleType] = {
    kind: module for module in (gemma3, glm, glm4, llama, phi3, qwen) for kind in module.MODEL_TYPES
}
SUPPORTED = tuple(sorted(_BY_TYPE))
"""Model types that can be written."""


def fields(model_type: str) -> frozenset[str]:
    """Return the fields of config.json that the family's reader reads; a type that is not in `SUPPORTED` has none."""
    module = _BY_TYPE.get(model_type)
    if module is None:
        return frozenset()
    read: frozenset[str] = module.fields(model_type)
    return read


def describe(config: dict[str, Any]) -> Model:
    """Describe a checkpoint in llama.cpp's terms.

    Raises:
        CheckpointError: the architecture is not known, or llama.cpp cannot run what the config says.
    """
    kind = config["model_type"]
    if kind not in _BY_TYPE:
        raise CheckpointError(
            f"GGUF files cannot be written for model_type {kind}.",
            f"Supported: {', '.join(SUPPORTED)}. `edgeconv openvino` takes more architectures.",
        )
    try:
        described: Model = _BY_TYPE[kind].describe(config)
        for value in described.keys.values():
            value.pack()
    except NotExpressible as reason:
        raise refuse(str(reason)) from reason
    except (KeyError, TypeError, ValueError, ArithmeticError, struct.error) as error:
        raise CheckpointError(
            f"config.json holds a number that none of its kind can be: {type(error).__name__}: {error}.",
            "Repair the file, or download it again.",
        ) from error
    return described
