"""Buffers that no checkpoint holds, for they follow from the config: rotary frequencies, causal masks, factors.

transformers' own classes fill them (`_init_weights`), as they do behind each loading.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from ..core.errors import ConversionError

_ROTARY = "inv_freq"


def _mup_vector(config: Any, owner: Any) -> Any:
    """Return the factors of what a scan's first matrix gives, as the module's own file computes them of the config."""
    return sys.modules[type(owner).__module__].compute_mup_vector(config)


_LEFT: dict[str, Callable[[Any, Any], Any]] = {"mup_vector": _mup_vector}
"""Buffers that transformers' classes fill when they are built, and not again: (config, the module that has them) → content."""


def derive(
    body: Any, module: Any, prefix: str, frequencies: npt.NDArray[np.float32] | None, *, deep: bool = True
) -> None:
    """Fill the buffers of a module on torch's "meta" device that no checkpoint holds.

    Args:
        body: transformers' model that the module is a part of.
        module: whose buffers are filled.
        prefix: what its tensors are called, for messages.
        frequencies: rotary frequencies to take for those of the config, where a module has so many.
        deep: its parts' buffers, too.

    Raises:
        ConversionError: transformers does not fill one.
    """
    import torch

    for owner in module.modules() if deep else [module]:
        names = [name for name, held in owner._buffers.items() if held is not None and held.is_meta]
        names = [name for name in names if name in owner._non_persistent_buffers_set]
        if not names:
            continue
        left = _filled(body, owner, names)
        for name in [name for name in left if name in _LEFT]:
            owner._buffers[name] = torch.as_tensor(_LEFT[name](body.config, owner)).to(owner._buffers[name])
            left.remove(name)
        if left:
            raise ConversionError(f"{prefix} has buffers that no checkpoint holds: {', '.join(sorted(left))}.")
        own = owner._buffers.get(_ROTARY)
        if frequencies is not None and own is not None and own.numel() == frequencies.size:
            owner._buffers[_ROTARY] = torch.from_numpy(frequencies.copy()).reshape(own.shape)


def _filled(body: Any, owner: Any, names: list[str]) -> list[str]:
    """Let transformers fill buffers; return those that it leaves as they were."""
    import torch

    made: list[dict[str, Any]] = []
    for filler in (0, 1):
        for name in names:
            held = owner._buffers[name]
            owner._buffers[name] = torch.full(held.shape, filler, dtype=held.dtype)
        with torch.no_grad():
            body._init_weights(owner)
        made.append({name: owner._buffers[name] for name in names})
    return [name for name in names if not torch.equal(made[0][name], made[1][name])]
