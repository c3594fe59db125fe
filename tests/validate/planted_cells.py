"""Faults planted into llama.cpp's cache while it runs: no GGUF can bring them about, a faulty engine can."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from edgeconv.runtimes.llama_cpp import LlamaCppRuntime

_FIRST = 16
"""Bytes before the cells: a magic number, one that is 0, the number of streams, that of cells."""


class Cells:
    """What one sequence has cached in float32, as `llama_state_seq_get_data` of build b9190 gives it.

    Attributes:
        keys: of each layer, [positions, width]; views that can be written.
        values: of each layer, [width, positions]: they lie so without flash attention.
    """

    def __init__(self, context: Any) -> None:
        self._context = context
        self._raw = bytearray(context.get_state_seq_data(0))
        streams, count = struct.unpack_from("<II", self._raw, 8)
        assert streams == 1
        self._at = _FIRST + 12 * count  # of each cell its position and its one sequence
        turned, layers = self._take("<II")
        assert turned == 1
        self.keys = [self._view(count, self._take("<iQ")[1] // 4) for _ in range(layers)]
        self.values = [self._view(self._take("<iII")[2], count) for _ in range(layers)]
        assert self._at == len(self._raw)

    def _take(self, form: str) -> tuple[int, ...]:
        found = struct.unpack_from(form, self._raw, self._at)
        self._at += struct.calcsize(form)
        return found

    def _view(self, rows: int, columns: int) -> npt.NDArray[np.float32]:
        view = np.frombuffer(self._raw, np.float32, rows * columns, self._at).reshape(rows, columns)
        self._at += view.nbytes
        return view

    def put(self) -> None:
        """Let llama.cpp have what stands here."""
        self._context.set_state_seq_data(bytes(self._raw), 0)


def of_another_layer(cells: Cells) -> None:
    """The first two layers read each other's."""
    for first, second, *_ in (cells.keys, cells.values):
        first[:], second[:] = second.copy(), first.copy()


def one_late(cells: Cells) -> None:
    """The first layer reads, at each place, the key of the next one."""
    keys = cells.keys[0]
    keys[:-1] = keys[1:].copy()


class Tampered(LlamaCppRuntime):
    """Reads what `fault` makes of its cache, and writes as ever."""

    fault: Callable[[Cells], None]

    def _decode(self, ids: Sequence[int], past: int, *, every: bool) -> None:
        if not past:
            super()._decode(ids, past, every=every)
            return
        sound, spoilt = Cells(self._context), Cells(self._context)
        self.fault(spoilt)
        spoilt.put()
        super()._decode(ids, past, every=every)
        now = Cells(self._context)
        for own, kept in zip(now.keys, sound.keys, strict=True):
            own[: len(kept)] = kept
        for own, kept in zip(now.values, sound.values, strict=True):
            own[:, : kept.shape[1]] = kept
        now.put()
