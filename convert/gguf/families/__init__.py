"""The architectures that can be written as GGUF, one file a family; this table is where a new one is entered."""

from __future__ import annotations

import struct
from collections.abc import Collection
from types import ModuleType
from typing import Any

from ....core.errors import CheckpointError
from ... import claims
from ...alternatives import InexpressibleError
from ...families.decoder import NotExpressible
from . import gemma3, glm, glm4, llama, phi3, qwen
from .model import Model, Tensor, refuse

__all__ = ["SUPPORTED", "Model", "Tensor", "describe", "describe_as_claimed", "fields"]

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


def describe_as_claimed(config: dict[str, Any], names: Collection[str]) -> tuple[Model, tuple[str, ...]]:
    """Describe a checkpoint of which every field is read, harmless or named in a note.

    Args:
        config: config.json.
        names: of its tensors.

    Returns:
        The description, and sentences for the plan.

    Raises:
        CheckpointError: as `describe`, or config.json states what nobody reads.
    """
    notes = claims.require(config, names)
    model, kind = describe(config), config["model_type"]
    return model, notes + claims.unread(config, f"the reader of {kind}", fields(kind))


def describe(config: dict[str, Any]) -> Model:
    """Describe a checkpoint in llama.cpp's terms.

    Raises:
        CheckpointError: the architecture is not known, or llama.cpp cannot run what the config says.
    """
    kind = config["model_type"]
    if kind not in _BY_TYPE:
        raise InexpressibleError(
            f"GGUF files cannot be written for model_type {kind}.", f"Supported: {', '.join(SUPPORTED)}."
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
