"""The values of random checkpoints."""

from __future__ import annotations

from collections.abc import Iterator
from math import prod
from typing import Any

NOISE_VALUES = 1 << 25  # 64 MiB of bfloat16
CHUNK_VALUES = 1 << 23


class Noise:
    """Bell-shaped bfloat16 values from one seeded block, scaled row by row."""

    def __init__(self, seed: int) -> None:
        import numpy as np
        import torch

        self._random = np.random.default_rng(seed)
        # numpy draws float32 normals on one core faster than torch does, and always the same ones
        values = self._random.standard_normal(NOISE_VALUES, dtype=np.float32)
        self._block = torch.from_numpy(values).to(torch.bfloat16)

    def chunks(self, name: str, shape: tuple[int, ...]) -> Iterator[Any]:
        """Yield bfloat16 tensors that together, row after row, make one weight of `shape`.

        A matrix has rows of width about 1/sqrt(in), times a log-normal factor for the tensor and one for each row (a
        convolution is one with a row for each output channel); the weight of a norm lies around 1, a bias around 0.
        """
        import numpy as np
        import torch

        if len(shape) == 1:
            yield (0 if name.endswith(".bias") else 1) + 0.1 * self._values(1, shape[0])[0]
            return
        rows, columns = shape[0], prod(shape[1:])
        spread = 0.2 * self._random.standard_normal() + 0.4 * self._random.standard_normal(rows)
        widths = torch.from_numpy(columns**-0.5 * np.exp(spread)).to(torch.bfloat16)[:, None]
        step = max(1, CHUNK_VALUES // columns)
        for first in range(0, rows, step):
            some = widths[first : first + step]
            yield self._values(len(some), columns) * some

    def _values(self, rows: int, columns: int) -> Any:
        start = int(self._random.integers(NOISE_VALUES - rows * columns))
        return self._block[start : start + rows * columns].view(rows, columns)
