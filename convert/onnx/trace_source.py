"""A checkpoint some of whose matrices are seen transposed: GPT-2's layers store [in, out], and groups run along the inputs."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass, field, fields, replace

import numpy as np
import numpy.typing as npt

from ..checkpoint import Checkpoint
from ..families.traced import CONV1D
from ..mapped_file import TensorInfo

_CONV1D = re.compile(r"\.c_(attn|proj|fc)\.weight$")


def is_conv1d(checkpoint: Checkpoint, name: str) -> bool:
    """True for a weight of transformers' `Conv1D`, a linear layer that stores [in, out]; of decoders only GPT-2 has it."""
    return checkpoint.model_type in CONV1D and bool(_CONV1D.search(name))


@dataclass
class _Turned(Checkpoint):
    turned: frozenset[str] = field(default_factory=frozenset)

    def info(self, name: str) -> TensorInfo:
        info = super().info(name)
        return replace(info, shape=info.shape[::-1]) if name in self.turned else info

    def rows(self, name: str, start: int, stop: int) -> npt.NDArray[np.generic]:
        info = super().info(name)
        if not info.shape:  # a single number has no rows to choose from
            return self.tensor(name)
        if name not in self.turned:
            return super().rows(name, start, stop)
        return np.ascontiguousarray(self.shard_of(name).view(info)[:, start:stop].T)


def turned(checkpoint: Checkpoint, names: Collection[str]) -> Checkpoint:
    """Return the same open checkpoint with these tensors transposed, in what `info` and `rows` say of them."""
    own = {one.name: getattr(checkpoint, one.name) for one in fields(checkpoint)}
    return _Turned(**own, turned=frozenset(names))
