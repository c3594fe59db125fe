"""The vision part of transformers' model, on any weights: what its `get_image_features` gives for the pictures of a prompt.

The tower and what stands behind it are loaded whole, in float32: below 3 GB for the towers of models of 2 to 30 billion weights.
"""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

import numpy as np
import numpy.typing as npt

from ...core.progress import Progress
from ..derived_buffers import derive
from ..module_weights import Tensors, assign, held, loaded
from ..reference_shell import Structure
from .features import GIVES, Features

Array = npt.NDArray[Any]


def features(
    parts: Structure,
    tensors: Tensors,
    prompts: Sequence[Mapping[str, Array]],
    *,
    dtype: str,
    progress: Progress,
    label: str,
    within: Callable[[Any], AbstractContextManager[None]] | None = None,
) -> list[Features]:
    """Run the vision part.

    Args:
        parts: of the model, on torch's "meta" device.
        tensors: the source of the weights, by the names of its modules.
        prompts: of each prompt what the processor makes of its pictures.
        dtype: torch's name of the type in which everything is computed.
        progress: reports prompts.
        label: what the step is called.
        within: transformers' model → what holds while it runs.
    """
    import torch

    kind = getattr(torch, dtype)
    gives = getattr(parts.whole, GIVES)
    task = progress.task(label, len(prompts))
    made = []
    with torch.no_grad(), _loaded(parts, tensors, kind), within(parts.whole) if within else contextlib.nullcontext():
        for arrays in prompts:
            output = gives(**_arguments(gives, arrays, kind), return_dict=True)
            deep = getattr(output, "deepstack_features", None) or ()
            made.append(Features(output.pooler_output, tuple(deep)))
            task.advance(1)
    task.finish()
    return made


def _arguments(gives: Callable[..., Any], arrays: Mapping[str, Array], kind: Any) -> dict[str, Any]:
    import torch

    takes = inspect.signature(gives).parameters
    made = {name: torch.from_numpy(np.ascontiguousarray(array)) for name, array in arrays.items() if name in takes}
    return {name: one.to(kind) if one.is_floating_point() else one for name, one in made.items()}


@contextlib.contextmanager
def _loaded(parts: Structure, tensors: Tensors, kind: Any) -> Iterator[None]:
    """Give all that is not of the language model its weights for a while."""
    import torch

    whole, front = parts.whole, parts.prefix[: -len(_name_within(parts)) - 1]
    own = [name for name, one in whole.named_parameters(recurse=False)]
    with contextlib.ExitStack() as stack:
        for name, module in whole.named_children():
            if module is parts.body:
                continue
            _derive(whole, module, f"{front}{name}.")
            stack.enter_context(loaded(module, f"{front}{name}.", tensors, kind))
        for name in own:
            assign(whole, name, torch.nn.Parameter(tensors(front + name).to(kind), requires_grad=False))
        try:
            yield
        finally:
            for name in own:
                assign(whole, name, torch.nn.Parameter(held(whole, name).to("meta"), requires_grad=False))


def _name_within(parts: Structure) -> str:
    return next(str(name) for name, module in parts.whole.named_children() if module is parts.body)


def _derive(whole: Any, module: Any, prefix: str) -> None:
    """Fill the buffers that no checkpoint holds, each by transformers' model that it is a direct part of."""
    from transformers import PreTrainedModel

    def fill(model: Any, part: Any) -> None:
        model = part if isinstance(part, PreTrainedModel) else model
        derive(model, part, prefix, None, deep=False)
        for child in part.children():
            fill(model, child)

    fill(whole, module)
