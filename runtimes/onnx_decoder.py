"""In onnxruntime, a decoder of optimum's form: a cache that goes in and comes out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from threading import Event
from typing import Any

import numpy as np
import numpy.typing as npt

from ..convert.onnx.names import CACHE, EMBEDS, IDS, LOGITS, TEXT_EMBEDDINGS, continued
from ..core.errors import ArtifactError
from .cached import StoppedError
from .layout import BESIDE, POSITIONS, filled
from .onnx_session import Change, library, open_session, reason, run, stoppable

Array = npt.NDArray[Any]
_INPUTS = frozenset([IDS, EMBEDS, "attention_mask", POSITIONS, *BESIDE])


class OnnxDecoder:
    """Implements `decoder.Decoder`."""

    beams = False
    """The cache is its caller's."""

    def __init__(
        self,
        path: Path,
        *,
        accurate: bool,
        last_only: bool = False,
        threads: int | None = None,
        change: Change | None = None,
    ) -> None:
        """Load.

        Args:
            path: the graph.
            accurate: reference precision.
            last_only: logits of the last position alone, where the graph ends in a product.
            threads: of the computation; None: one per core.
            change: makes of the graph what is to be loaded.

        Raises:
            ArtifactError: onnxruntime refuses it, or it is not a decoder of optimum's form.
        """
        self._session = open_session(path, accurate=accurate, last_only=last_only, threads=threads, change=change)
        outputs = [value.name for value in self._session.get_outputs()]
        self._zero: dict[str, Array] = {}
        self._given: dict[str, tuple[int, ...]] = {}
        for value in self._session.get_inputs():
            if CACHE.fullmatch(value.name):
                self._zero[value.name] = _before(path, value)
            elif value.name in _INPUTS:
                self._given[value.name] = tuple(one if isinstance(one, int) else -1 for one in value.shape)
            else:
                raise ArtifactError(f"{path} has the input {value.name}, which no decoder of optimum's form has.")
        self._present = {name: continued(name) for name in self._zero}
        self._outputs = [LOGITS, *self._present.values()]
        for name in self._outputs:
            if name not in outputs:
                raise ArtifactError(f"{path} has no output {name}, which a decoder of optimum's form has.")
        self._table: Any = None
        if EMBEDS in self._given:
            self._table = open_session(path.parent / f"{TEXT_EMBEDDINGS}.onnx", accurate=accurate, threads=threads)
        self._cache: dict[str, Any] = {}
        """By the names of the inputs: `onnxruntime.OrtValue`; of keys and values [batch, heads, positions, width]."""
        self.empty()

    @property
    def masks(self) -> bool:
        """True if the graph takes an attention mask."""
        return "attention_mask" in self._given

    def empty(self, rows: int = 1) -> None:
        """Begin with the cache before the first token."""
        self._cache = {name: _value(np.repeat(array, rows, 0)) for name, array in self._zero.items()}

    def shorten(self, count: int) -> bool:
        """Keep the first positions, if no layer keeps a state."""
        if any(array.size for array in self._zero.values()):
            return False
        self._cache = {name: _value(value.numpy()[:, :, :count]) for name, value in self._cache.items()}
        return True

    def embed(self, ids: Array) -> Array:
        """Look ids [batch, n] up, or return them."""
        if self._table is None:
            return ids
        made: Array = run(self._table, {IDS: ids}, "in the table of embeddings")[0]
        return made

    def read(
        self,
        given: Array,
        mask: Array,
        positions: Array,
        beams: Array,
        stop: Event | None = None,
        *,
        beside: Mapping[str, Array] | None = None,
    ) -> Array:
        """Read on; the cache stays as it was if that fails."""
        fed = self._fed(given, mask, positions, beside or {})
        logits, *present = self._run(self._outputs, fed | self._cache, stop)
        self._cache = dict(zip(self._present, present, strict=True))
        made: Array = logits.numpy()
        return made.astype(np.float32, copy=False)

    def values(self, names: Sequence[str], given: Array) -> list[Array]:
        """Run what `embed` gave from an empty cache; return outputs of the graph by their names. Raises ArtifactError."""
        self.empty()
        count = given.shape[1]
        mask, positions = np.ones((1, count), np.int64), np.arange(count, dtype=np.int64)[None]
        return [made.numpy() for made in self._run(names, self._fed(given, mask, positions, {}) | self._cache)]

    def close(self) -> None:
        """Drop the sessions."""
        self._session = self._table = None
        self._cache = {}

    def _fed(self, given: Array, mask: Array, positions: Array, beside: Mapping[str, Array]) -> dict[str, Any]:
        """Return what the graph takes of these, by its inputs' names."""
        feed = {(IDS if self._table is None else EMBEDS): given, "attention_mask": mask}
        feed |= filled(self._given, given, positions, beside)
        return {name: _value(array) for name, array in feed.items() if name in self._given}

    def _run(self, outputs: Sequence[str], values: dict[str, Any], stop: Event | None = None) -> list[Any]:
        with stoppable(stop) as options:
            try:
                made: list[Any] = self._session.run_with_ort_values(list(outputs), values, options)
            except Exception as error:  # a class of its own for each kind of failure
                if stop is not None and stop.is_set():
                    raise StoppedError from error
                past = next((values[name].shape()[2] for name, array in self._zero.items() if not array.size), 0)
                raise ArtifactError(f"onnxruntime fails at position {past}: {reason(error)}.") from error
        return made


def _before(path: Path, value: Any) -> Array:
    """Return what a layer keeps before the first token: [1, heads, 0, head_dim], or a state's zeros."""
    types = {"tensor(float)": np.float32, "tensor(float16)": np.float16}
    shape = value.shape
    if value.type in types and len(shape) > 2 and all(isinstance(size, int) and size > 0 for size in shape[1:]):
        return np.zeros((1, *shape[1:]), types[value.type])
    if value.type not in types or len(shape) != 4 or not (isinstance(shape[1], int) and isinstance(shape[3], int)):
        raise ArtifactError(
            f"{path} wants {value.name} as {value.type} {shape}; float [batch, heads, past, size] is known."
        )
    return np.zeros((1, shape[1], 0, shape[3]), types[value.type])


def _value(array: Array) -> Any:
    return library().OrtValue.ortvalue_from_numpy(np.ascontiguousarray(array))
