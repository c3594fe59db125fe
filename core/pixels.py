"""Pixels of a picture, made by transformers' own image processor of the PIL backend, in a process of its own (`worker`).

The process has neither torch nor torchvision (`pixels_task`), and limits: what a checkpoint says of its pictures is a stranger's.
"""

from __future__ import annotations

import base64
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from .errors import CheckpointError
from .worker import Worker, WorkerFault

Array = npt.NDArray[Any]
SECONDS = 60.0
"""CPU that one picture may take; of 12 million pixels it takes 3 s."""
MEMORY = 6 << 30
"""Bytes that one picture may take; of 12 million pixels it takes 1 GB."""
_AT_ONCE = 16 << 20
"""Bytes that go to or from the process at once."""
_worker = Worker()
_HINT = "preprocessor_config.json is damaged, or of a model that is not known here. Take the file of the model's own repository."


class Pixels:
    """An image processor.

    Attributes:
        values: that it has, those included that its file leaves out.
        processor: the class of transformers' whole processor for this `model_type`; None: it knows none.
    """

    def __init__(self, config: dict[str, Any], kind: str) -> None:
        """Ask for it.

        Args:
            config: preprocessor_config.json, or what processor_config.json says of the image processor.
            kind: `model_type` of the model.

        Raises:
            CheckpointError: transformers has no such image processor, or the values are not its own.
        """
        self._config, self._kind = config, kind
        try:
            facts = _ask("pixels_facts", config=config, kind=kind)
        except WorkerFault as fault:
            raise CheckpointError(f"The pictures' processor cannot be opened: {fault}.", _HINT) from fault
        self.values: dict[str, Any] = facts["image"]
        self.processor: str | None = facts["processor"]

    def __call__(self, picture: Image.Image, **options: Any) -> dict[str, Array]:
        """Return what becomes of a picture, each array as transformers makes it for a batch of this one picture.

        Args:
            picture: of any size, in RGB.
            **options: of the image processor's call.

        Raises:
            CheckpointError: the processor fails.
        """
        try:
            return self._made(picture.convert("RGB"), options)
        except WorkerFault as fault:
            size = f"{picture.width} x {picture.height}"
            raise CheckpointError(f"A picture of {size} cannot be prepared: {fault}.", _HINT) from fault

    def _made(self, picture: Image.Image, options: dict[str, Any]) -> dict[str, Array]:
        with _worker.together():
            _ask("pixels_begin", width=picture.width, height=picture.height)
            raw = memoryview(picture.tobytes())
            for start in range(0, len(raw), _AT_ONCE):
                _ask("pixels_rows", rows=base64.b64encode(raw[start : start + _AT_ONCE]).decode())
            made = _ask("pixels", config=self._config, kind=self._kind, options=options)
            return {name: _array(name, np.dtype(kind), tuple(shape)) for name, (kind, shape) in made.items()}


def _array(name: str, kind: np.dtype[Any], shape: tuple[int, ...]) -> Array:
    made = np.empty(shape, kind)
    raw = made.reshape(-1).view(np.uint8)
    for start in range(0, len(raw), _AT_ONCE):
        part = _ask("pixels_part", name=name, start=start, stop=start + _AT_ONCE)
        raw[start : start + _AT_ONCE] = np.frombuffer(base64.b64decode(part), np.uint8)
    return made


def _ask(task: str, **content: Any) -> Any:
    return _worker.ask(task, seconds=SECONDS, memory=MEMORY, **content)
