"""OpenVINO itself, without a pipeline around it: logits of every position, prefill or cached."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ..core.errors import ArtifactError
from ..core.mapped_pages import mappings, releasing
from ..core.openvino_core import openvino_core
from . import irs
from .base import Batch, Chunk, Padding, Step, greedy, steps
from .padding import run_batch

Array = npt.NDArray[Any]
ACCURATE = {"EXECUTION_MODE_HINT": "ACCURACY"}
"""Turns the device's approximations off: bf16 execution, u8 KV cache, dynamic quantization."""
DEFAULTS: Mapping[str, Any] = {}
"""What is asked of the device for its defaults: nothing."""


class OpenVINORuntime:
    """A stateful decoder IR compiled for one device; that of a vision-language model, with its table of embeddings."""

    beams = True

    def __init__(self, folder: Path, device: str = "CPU", *, accurate: bool = True) -> None:
        """Compile. Raises ArtifactError if an IR does not open, or has no state."""
        self.name = f"openvino {device}" + (", reference precision" if accurate else ", defaults")
        language, *others = irs.names(folder)
        irs.require_state(folder)
        values = [(folder / language).with_suffix(".bin")]
        before = mappings(values)
        # holds the mapping of the weights until they are copied into an order of the device's own: some when they are compiled,
        # most when they are first multiplied with
        self._read: Any = _read(folder / language)
        self._prepare(self._read, folder / language)
        self._mapped = [one for one in mappings(values) if one not in before]
        with releasing(self._mapped):
            compiled = _compile(self._read, folder / language, device, accurate=accurate)
        self._request: Any = compiled.create_infer_request()
        self._inputs = {name for port in compiled.inputs for name in port.get_names()}
        self._table: Any = compile_ir(folder / others[0], device, accurate=accurate) if others else None

    def _prepare(self, model: Any, xml: Path) -> None:
        """Change the graph of `xml` (`openvino.Model`) in place before it is compiled."""

    @property
    def paddings(self) -> tuple[Padding, ...]:
        """Both sides, for a graph that takes a mask."""
        return ("left", "right") if "attention_mask" in self._inputs else ()

    def logits(
        self, ids: Sequence[int], chunk: Chunk = None, first: int = 0, embeddings: Array | None = None
    ) -> Iterator[Array]:
        """Give the logits from an empty cache; OpenVINO's own memory, until it runs again.

        Args:
            ids: the tokens.
            chunk: positions of its steps.
            first: position of the first token.
            embeddings: float32 [n, hidden] to take instead of the tokens' own, of a vision-language model.
        """
        self._request.reset_state()
        for start, stop in steps(len(ids), chunk):
            part = slice(start, stop)
            yield self._infer(ids[part], start, None if embeddings is None else embeddings[part], first)

    def batch(self, rows: Sequence[Sequence[int]], padding: Padding, then: Sequence[Step] = ()) -> Batch:
        """Run several rows at once."""
        self._request.reset_state()
        return run_batch(self._forward, rows, padding, then)

    def decode(self, ids: Sequence[int]) -> Iterator[Array]:
        """Give the logits one token at a time."""
        return self.logits(ids, 1)

    def generate(
        self, ids: Sequence[int], count: int, stop: Sequence[int], embeddings: Array | None = None
    ) -> list[int]:
        """Continue greedily; `embeddings` as in `logits`."""
        self._request.reset_state()
        return greedy(self._infer, ids, count, stop, embeddings)

    def embed(self, ids: Sequence[int]) -> Array:
        """Look tokens up in the table of a vision-language model: float32 [n, hidden]."""
        result = self._table(np.array([list(ids)], np.int64))
        rows: Array = result[0][0].copy()
        return rows

    def close(self) -> None:
        """Drop the compiled models."""
        self._request = self._table = self._read = None

    def _infer(self, ids: Sequence[int], past: int, embeddings: Array | None = None, first: int = 0) -> Array:
        mask = np.ones((1, past + len(ids)), np.int64)
        positions = np.arange(first + past, first + past + len(ids), dtype=np.int64)[None]
        given = None if embeddings is None else embeddings[None]
        logits: Array = self._forward(np.array([list(ids)], np.int64), mask, positions, np.zeros(1, np.int32), given)[0]
        return logits

    def _forward(
        self, ids: Array, mask: Array, positions: Array, beams: Array, embeddings: Array | None = None
    ) -> Array:
        feed: dict[str, Any] = {"attention_mask": mask, "position_ids": positions, "beam_idx": beams}
        if self._table is None:
            feed["input_ids"] = ids
        else:
            feed["inputs_embeds"] = self._table(ids)[0] if embeddings is None else embeddings
        feed = {name: value for name, value in feed.items() if name in self._inputs}
        with releasing(self._mapped) if self._mapped else contextlib.nullcontext():
            logits: Array = self._request.infer(feed, share_outputs=True)["logits"]
        self._mapped, self._read = [], None
        return logits


def compile_ir(xml: Path, device: str, *, accurate: bool) -> Any:
    """Compile one IR. Raises ArtifactError."""
    return _compile(_read(xml), xml, device, accurate=accurate)


def _read(xml: Path) -> Any:
    with _opening(xml):
        return openvino_core().read_model(xml)


def _compile(model: Any, xml: Path, device: str, *, accurate: bool) -> Any:
    with _opening(xml):
        return openvino_core().compile_model(model, device, ACCURATE if accurate else dict(DEFAULTS))


@contextlib.contextmanager
def _opening(xml: Path) -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:
        first = next((line.strip() for line in reversed(str(error).splitlines()) if line.strip()), "")
        raise ArtifactError(f"{xml} does not open: {first}.", "Convert the checkpoint again.") from error
