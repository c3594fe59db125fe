"""A checkpoint by the names that transformers gives its tensors when it loads them: renamed, stacked, joined.

transformers 5 keeps the experts of a layer in one parameter where most checkpoints have a tensor each, and graphs traced from
it hold the stacks. Its own table of conversions is followed (`transformers.conversion_mapping`), so that whatever it loads is
seen as it loads it.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Callable
from dataclasses import dataclass, field, fields, replace
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from ..convert import families, multimodal
from ..convert.base_names import seen
from ..convert.checkpoint import Checkpoint
from ..convert.mapped_file import ITEM_SIZE, MappedFile, TensorInfo
from ..convert.native_config import read_config
from ..core.lean_transformers import import_models
from .module_weights import checkpoint_tensors
from .reference_shell import sees, shell

_WHOLE = re.compile(r"\w+\.(?:\w+\.)*(?:h|layers|blocks)\.\d+\.")
"""The name of a layer's tensor behind that of the decoder."""


@dataclass(frozen=True)
class Recipe:
    """How a tensor is made: transformers' conversion, and what each of its patterns takes, in order; None: it is but renamed."""

    conversion: Any | None
    sources: tuple[tuple[str, str], ...]


def seen_names(config: Any) -> Callable[[str], str]:
    """Return what gives, of a name of transformers' module or tensor, the one by which checkpoints are seen here.

    See `base_names` and `multimodal`; `config` is transformers'.
    """
    family = families.find(str(config.model_type))
    renamed = family.renamed if family else {}
    if sees(config) and multimodal.is_ours(str(config.model_type)):
        return lambda name: seen(multimodal.named(name), renamed)
    return lambda name: seen(name, renamed)


def as_loaded(checkpoint: Checkpoint) -> Checkpoint:
    """Return the checkpoint by transformers' names: itself, if they are its own."""
    import_models()
    from transformers.conversion_mapping import get_checkpoint_conversion_mapping
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING

    if not get_checkpoint_conversion_mapping(checkpoint.model_type) and not _lacks_prefix(checkpoint):
        return checkpoint
    if multimodal.is_ours(checkpoint.model_type):  # seen in a form of its own
        return checkpoint
    config = read_config(checkpoint.folder)
    if type(config) not in MODEL_FOR_CAUSAL_LM_MAPPING:
        return checkpoint
    model = shell(config)
    recipes = _recipes(model, checkpoint)
    if all(recipe.conversion is None and recipe.sources[0][1] == name for name, recipe in recipes.items()):
        return checkpoint
    own = {one.name: getattr(checkpoint, one.name) for one in fields(checkpoint)}
    return _Loaded(**own, recipes=recipes, model=model, plain=checkpoint)


def _lacks_prefix(checkpoint: Checkpoint) -> bool:
    """Whether it was saved from a model without its head, as GPT-2's were: no name begins as those of a whole model do."""
    return not any(_WHOLE.match(name) for name in checkpoint.names)


@dataclass
class _Loaded(Checkpoint):
    recipes: dict[str, Recipe] = field(default_factory=dict)
    model: Any = None
    plain: Checkpoint = field(kw_only=True)

    @property
    def names(self) -> set[str]:
        return set(self.recipes)

    def info(self, name: str) -> TensorInfo:
        if name not in self.recipes:
            return self.plain.info(name)
        first = self.plain.info(self.recipes[name].sources[0][1])
        if self.recipes[name].conversion is None:
            return replace(first, name=name)
        shape = tuple(self.model.state_dict()[name].shape)
        return TensorInfo(name, first.dtype, shape, 0, int(np.prod(shape)) * ITEM_SIZE[first.dtype])

    def file_of(self, name: str) -> str:
        return self.plain.file_of(self.recipes[name].sources[0][1])

    def tensor(self, name: str) -> npt.NDArray[Any]:
        if name not in self.recipes:
            return self.plain.tensor(name)
        recipe = self.recipes[name]
        if recipe.conversion is None:
            return self.plain.tensor(recipe.sources[0][1])
        return _numpy(_converted(name, recipe, checkpoint_tensors(self.plain), self.model))

    def shard_of(self, name: str) -> MappedFile:
        return self.plain.shard_of(self.recipes[name].sources[0][1] if name in self.recipes else name)

    def rows(self, name: str, start: int, stop: int) -> npt.NDArray[Any]:
        return self.tensor(name)[start:stop]


def _recipes(model: Any, checkpoint: Checkpoint) -> dict[str, Recipe]:
    """Follow transformers' loader (`convert_and_load_state_dict_in_model`), without a weight."""
    from transformers.conversion_mapping import get_model_conversion_mapping
    from transformers.core_model_loading import WeightConverter, WeightRenaming, dot_natural_key, rename_source_key

    mapping = get_model_conversion_mapping(model)
    renamings = [one for one in mapping if isinstance(one, WeightRenaming)]
    converters = [one for one in mapping if isinstance(one, WeightConverter)]
    by_pattern = {pattern: one for one in converters for pattern in one.source_patterns}
    state = model.state_dict()
    found: dict[str, tuple[Any, list[tuple[str, str]]]] = {}
    for name in sorted(checkpoint.names, key=dot_natural_key):
        renamed, pattern = rename_source_key(name, renamings, converters, model.base_model_prefix, state)
        if renamed not in state and name in state:
            renamed, pattern = rename_source_key(name, [], [], model.base_model_prefix, state)
        if renamed not in state:  # no part of the model: seen under its own name
            renamed, pattern = name, None
        conversion = by_pattern.get(pattern) if pattern else None
        for target in _targets(renamed, conversion):
            found.setdefault(target, (conversion, []))[1].append((pattern or name, name))
    return {name: Recipe(conversion, tuple(sources)) for name, (conversion, sources) in found.items()}


def _targets(renamed: str, conversion: Any | None) -> list[str]:
    """All that a conversion makes of what it calls by the first of its targets."""
    if conversion is None:
        return [renamed]
    first, *_ = patterns = conversion.target_patterns
    return [renamed.replace(first, pattern) for pattern in patterns]


def _converted(name: str, recipe: Recipe, tensors: Any, model: Any) -> Any:
    conversion: Any = copy.deepcopy(recipe.conversion)
    for pattern, source in recipe.sources:
        conversion.add_tensor(name, source, pattern, partial(tensors, source))
    made = conversion.convert(name, model=model, config=model.config)[name]
    return made[0] if isinstance(made, list) else made


def _numpy(tensor: Any) -> npt.NDArray[Any]:
    """Return a torch tensor as a checkpoint gives it: bfloat16 as its bits in uint16."""
    import torch

    plain = tensor.contiguous()
    made: npt.NDArray[Any] = (
        plain.view(torch.int16).numpy().view(np.uint16) if plain.dtype == torch.bfloat16 else plain.numpy()
    )
    return made
