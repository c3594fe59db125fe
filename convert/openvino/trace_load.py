"""A checkpoint becomes a transformers model whose weights are still the mapped file, and every tensor is accounted for."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from ...core.errors import CheckpointError
from ...core.foreign_code import block_foreign_code
from .. import native_config
from ..checkpoint import Checkpoint
from ..claims import purpose, unused
from .trace_exact import widen_buffers


def weights_of(checkpoint: Checkpoint) -> set[str]:
    """Return the names of the tensors that a model must use."""
    return {name for name in checkpoint.names if not unused.is_unused(name, checkpoint.config)}


def load(checkpoint: Checkpoint) -> Any:
    """Build the model in the checkpoint's own type. Its own code is never run: what transformers lacks is refused.

    Returns:
        the transformers model in evaluation mode; its parameters are views of the mapped shards wherever transformers needs no
        other type or form of them.

    Raises:
        CheckpointError: a tensor is missing, has another shape, or would be left out silently.
    """
    block_foreign_code()
    from optimum.exporters.openvino.__main__ import FORCE_ATTN_MODEL_CLASSES

    options: dict[str, Any] = {}
    if checkpoint.model_type in FORCE_ATTN_MODEL_CLASSES:
        options["attn_implementation"] = FORCE_ATTN_MODEL_CLASSES[checkpoint.model_type]
    tensors = {name: _tensor(checkpoint, name) for name in weights_of(checkpoint)}
    model = build(checkpoint, tensors, dtype="auto", **options)
    widen_buffers(model)
    _check_ties(checkpoint, model)
    return model


def build(checkpoint: Checkpoint, tensors: dict[str, Any], **options: Any) -> Any:
    """Build the model around `tensors`, torch's, by the checkpoint's names.

    Args:
        checkpoint: of which config.json, names and shapes are read.
        tensors: all that a model must use, or stand-ins of the same shapes.
        **options: of `from_pretrained`.

    Raises:
        CheckpointError: as `load`.
    """
    config, model_class = _classes(checkpoint)
    try:
        with _unabridged():
            model, report = model_class.from_pretrained(
                None,
                config=config,
                state_dict=tensors,
                output_loading_info=True,
                ignore_mismatched_sizes=True,  # reported below, in our words
                **options,
            )
    except (RuntimeError, ValueError, KeyError, AttributeError) as error:
        raise CheckpointError(
            f"transformers cannot build {checkpoint.model_type} from this checkpoint: {' '.join(str(error).split())}.",
            "Its config.json and its tensors do not belong together.",
        ) from error
    native_config.require_own_code(model)
    _check(checkpoint, model, report)
    return model


def _classes(checkpoint: Checkpoint) -> tuple[Any, Any]:
    """Return config and model class, both transformers' own."""
    from transformers import CONFIG_MAPPING, MODEL_FOR_CAUSAL_LM_MAPPING

    if checkpoint.model_type not in CONFIG_MAPPING:
        raise CheckpointError(f"transformers does not know model_type {checkpoint.model_type!r}.")
    config = _config(checkpoint)
    if type(config) not in MODEL_FOR_CAUSAL_LM_MAPPING:
        raise CheckpointError(f"transformers has no causal language model for model_type {checkpoint.model_type!r}.")
    return config, MODEL_FOR_CAUSAL_LM_MAPPING[type(config)]


def _config(checkpoint: Checkpoint) -> Any:
    """Read config.json with transformers, which checks the types of what it knows."""
    try:
        config = native_config.read_config(checkpoint.folder)
        layers = getattr(config.get_text_config(), "num_hidden_layers", None)
    except Exception as error:  # its errors are of many kinds, and all say that this file cannot be right
        raise CheckpointError(
            f"transformers cannot read config.json: {' '.join(str(error).split()) or type(error).__name__}.",
            "The file is damaged or another model's; download it again.",
        ) from error
    if isinstance(layers, int) and layers > len(checkpoint.names):
        raise CheckpointError(
            f"config.json promises {layers:,} layers, and the checkpoint has {len(checkpoint.names)} tensors.",
            "The two do not belong together, or shards are missing.",
        )
    return config


def _tensor(checkpoint: Checkpoint, name: str) -> Any:
    """Return a torch tensor over the mapped bytes."""
    import torch

    array = checkpoint.tensor(name)
    if array.dtype == np.uint16:
        return torch.from_numpy(array.view(np.int16)).view(torch.bfloat16)
    return torch.from_numpy(array)


@contextmanager
def _unabridged() -> Iterator[None]:
    """Have transformers report every unexpected tensor: it drops those that a model class declares uninteresting."""
    from transformers import PreTrainedModel

    original = PreTrainedModel._adjust_missing_and_unexpected_keys

    def adjust(self: Any, report: Any) -> None:
        unexpected = set(report.unexpected_keys)
        original(self, report)
        report.unexpected_keys = unexpected

    PreTrainedModel._adjust_missing_and_unexpected_keys = adjust
    try:
        yield
    finally:
        PreTrainedModel._adjust_missing_and_unexpected_keys = original


def _check(checkpoint: Checkpoint, model: Any, report: dict[str, Any]) -> None:
    if report["mismatched_keys"]:
        name, found, expected = min(report["mismatched_keys"], key=lambda row: str(row[0]))
        file = f"{checkpoint.file_of(name)}: " if name in checkpoint.names else ""
        raise CheckpointError(
            f"{file}{name} is {list(found)}; by config.json it should be {list(expected)}.",
            "Config and weights are not of the same model.",
        )
    if set(report["missing_keys"]) == {purpose.HEAD}:
        raise purpose.no_head(checkpoint.config)
    if report["missing_keys"]:
        raise CheckpointError(
            f"The checkpoint lacks {len(report['missing_keys'])} tensors, for example {min(report['missing_keys'])}.",
            "Its config.json promises them: the two do not belong together, or a shard is missing.",
        )
    unused = sorted(report["unexpected_keys"])
    if unused:
        raise CheckpointError(
            f"{len(unused)} tensors of the checkpoint have no place in {type(model).__name__}, "
            f"for example {unused[0]}: converting the rest would make another model.",
            "It is not a plain model of this type (another vision-language model, an adapter?), or its config.json is another's.",
        )


def _check_ties(checkpoint: Checkpoint, model: Any) -> None:
    """Both ends of a tie may be stored if they are equal; transformers unties them silently if they are not."""
    declared = model.get_expanded_tied_weights_keys(all_submodels=True)
    for target, source in declared.items():
        if {target, source} <= checkpoint.names and target not in model.all_tied_weights_keys:
            raise CheckpointError(
                f"config.json says that {target} is tied to {source}, but the two differ.",
                'Set "tie_word_embeddings": false in config.json if both are meant to be used.',
            )
