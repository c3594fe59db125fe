"""Encoders: one file for each `model_type`, in which all about it is declared (`program.encoder.EncoderFamily`).

A checkpoint is an encoder by its class (BertModel, …ForSequenceClassification), or by the files of sentence-transformers.
"""

from __future__ import annotations

import functools
import importlib
import pkgutil
from collections.abc import Collection, Iterator, Sequence
from typing import Any

from .. import claims
from ..alternatives import InexpressibleError
from ..program.encoder import SCORING, Encoder, EncoderFamily, labels_of
from ..program.reading import UnsupportedArchitecture
from ..program.task import Task

_EMBEDS = ("Model", "ForMaskedLM", "ForPreTraining", "ForCausalLM")
"""How the names of classes end whose states are taken."""


def find(model_type: str) -> EncoderFamily | None:
    """Return the family of a model_type; None if it has no file."""
    return next((one for one in every() if one.model_type == model_type), None)


@functools.cache
def _files() -> tuple[str, ...]:
    return tuple(sorted(found.name for found in pkgutil.iter_modules(__path__)))


def every() -> Iterator[EncoderFamily]:
    """Give all families."""
    for name in _files():
        yield importlib.import_module(f"{__package__}.{name}").FAMILY


def known() -> tuple[str, ...]:
    """Return the model types of which every model is an encoder."""
    return tuple(one.model_type for one in every() if one.always)


def describe(config: dict[str, Any], names: Collection[str], sentence: Task | None) -> Encoder | None:
    """Describe a checkpoint that is an encoder; None if it is none, or none that is known.

    Args:
        config: config.json.
        names: of its tensors.
        sentence: what the files of sentence-transformers say, if there are any.

    Raises:
        CheckpointError: config.json is damaged or contradicts itself, or states what the program lacks.
    """
    family = find(str(config.get("model_type")))
    task = _task(family, config, sentence) if family else None
    if family is None or task is None:
        return None
    try:
        return family.encoder(config, task, names)
    except UnsupportedArchitecture as reason:
        raise InexpressibleError(f"This {family.model_type} encoder cannot be converted: {reason}.") from reason


def _task(family: EncoderFamily, config: dict[str, Any], sentence: Task | None) -> Task | None:
    classes = _classes(config)
    if any(name.endswith(SCORING) for name in classes):
        return Task("score", labels=labels_of(config)) if family.scores else None
    if sentence is not None:
        return sentence
    return Task("embed") if family.always and all(name.endswith(_EMBEDS) for name in classes) else None


def _classes(config: dict[str, Any]) -> Sequence[str]:
    stated = config.get("architectures")
    return [name for name in stated if isinstance(name, str)] if isinstance(stated, list) else []


def claim(encoder: Encoder, config: dict[str, Any], names: Collection[str]) -> tuple[str, ...]:
    """Return sentences for the plan.

    Raises:
        CheckpointError: config.json states what changes the mathematics and is not read; weights are quantized, or an adapter's.
    """
    family = find(encoder.family)
    said = claims.require_encoder(config, names)
    reads = family.fields if family else frozenset()
    return (*said, *claims.unread(config, f"the reader of {encoder.family}", reads), *_notes(encoder))


def _notes(encoder: Encoder) -> list[str]:
    task = encoder.task
    said = [f"An encoder: {task.describe()}."]
    longest = min(task.max_length or encoder.positions, encoder.positions)
    said.append(
        f"Texts of more than {longest:,} tokens are cut off by whoever tokenizes; the graph takes {encoder.positions:,}."
    )
    if task.kind == "embed" and task.pooling is None:
        said.append(
            "No modules.json says how the states of a text's tokens become one vector: what is written gives the states, and "
            "parity is measured on their mean."
        )
    return said
