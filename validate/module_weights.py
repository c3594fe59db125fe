"""Weights put into torch's modules, and taken away again; read from a checkpoint's mapped files."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from ..core.dtypes import BY_NUMPY

Tensors = Callable[[str], Any]
"""Gives a weight by its name in the checkpoint, as a torch tensor of any float type."""


@contextlib.contextmanager
def loaded(module: Any, prefix: str, tensors: Tensors, kind: Any) -> Iterator[None]:
    """Give a module on torch's "meta" device its weights, in a type of torch, and take them away again.

    Buffers that a checkpoint holds (an expert's bias, constants of an activation) are weights too.
    """
    import torch

    parameters = {name for name, _ in module.named_parameters()}
    names = list(module.state_dict())

    def hold(name: str, value: Any) -> None:
        assign(module, name, torch.nn.Parameter(value, requires_grad=False) if name in parameters else value)

    for name in names:
        hold(name, tensors(prefix + name).to(kind))
    try:
        yield
    finally:
        for name in names:
            hold(name, held(module, name).to("meta"))


def held(module: Any, name: str) -> Any:
    """Return a parameter or buffer by its dotted name."""
    for part in name.split("."):
        module = getattr(module, part)
    return module


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without torch's warning that a read-only array could be written to."""
    import warnings

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        yield


def assign(module: Any, name: str, value: Any) -> None:
    """Set a parameter or buffer by its dotted name."""
    *path, last = name.split(".")
    for part in path:
        module = getattr(module, part)
    setattr(module, last, value)


def checkpoint_tensors(checkpoint: Any) -> Tensors:
    """Return the checkpoint's weights as torch tensors over the mapped files."""
    import torch

    kinds = {held: getattr(torch, kind.torch) for held, kind in BY_NUMPY.items()}

    def get(name: str) -> Any:
        array = checkpoint.tensor(name)
        kind = kinds[array.dtype]
        if not array.flags.writeable:  # a view of the mapped file: nothing here writes to it
            array = np.lib.stride_tricks.as_strided(array, array.shape, array.strides, writeable=False)
        with _quiet():
            return (
                torch.from_numpy(array.view(np.int16)).view(kind) if kind is torch.bfloat16 else torch.from_numpy(array)
            )

    return get
