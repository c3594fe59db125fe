"""OpenVINO itself, without a pipeline around it: logits of every position, prefill or cached."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ...core.errors import ArtefactError

ACCURATE = {"EXECUTION_MODE_HINT": "ACCURACY"}
"""Turns the device's approximations off: bf16 execution, u8 KV cache, dynamic quantisation."""


class OpenVINORuntime:
    """A stateful decoder IR compiled for one device."""

    def __init__(self, folder: Path, device: str = "CPU", *, accurate: bool = True) -> None:
        """Compile. Raises ArtefactError if the IR does not open."""
        import openvino as ov

        self.name = f"openvino {device}" + (", approximations off" if accurate else ", defaults")
        try:
            compiled = ov.Core().compile_model(folder / "openvino_model.xml", device, ACCURATE if accurate else {})
        except RuntimeError as error:
            first = next((line.strip() for line in reversed(str(error).splitlines()) if line.strip()), "")
            raise ArtefactError(
                f"{folder / 'openvino_model.xml'} does not open: {first}.", "Convert the checkpoint again."
            ) from error
        self._request: Any = compiled.create_infer_request()
        self._inputs = {name for port in compiled.inputs for name in port.get_names()}

    def logits(self, ids: Sequence[int], chunk: int | None = None) -> Iterator[npt.NDArray[Any]]:
        """Give the logits from an empty cache, `chunk` positions at a time."""
        self._request.reset_state()
        step = chunk or len(ids)
        for start in range(0, len(ids), step):
            yield self._infer(ids[start : start + step], start)

    def decode(self, ids: Sequence[int]) -> Iterator[npt.NDArray[Any]]:
        """Give the logits one token at a time."""
        return self.logits(ids, 1)

    def generate(self, ids: Sequence[int], count: int, stop: Sequence[int]) -> list[int]:
        """Continue greedily."""
        self._request.reset_state()
        made: list[int] = []
        logits, position = self._infer(ids, 0), len(ids)
        while len(made) < count:
            made.append(int(logits[-1].argmax()))
            if made[-1] in stop:
                break
            logits = self._infer(made[-1:], position)
            position += 1
        return made

    def close(self) -> None:
        """Drop the compiled model."""
        self._request = None

    def _infer(self, ids: Sequence[int], past: int) -> npt.NDArray[Any]:
        feed: dict[str, Any] = {
            "input_ids": np.array([list(ids)], np.int64),
            "attention_mask": np.ones((1, past + len(ids)), np.int64),
            "position_ids": np.arange(past, past + len(ids), dtype=np.int64)[None],
            "beam_idx": np.zeros(1, np.int32),
        }
        result = self._request.infer({name: value for name, value in feed.items() if name in self._inputs})
        logits: npt.NDArray[Any] = result["logits"][0].copy()
        return logits
