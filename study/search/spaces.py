"""The ways that a search chooses from, by the name of the format."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ...quantize.data_aware import SUITE
from ..sensitivity.subject import Subject
from ..trial import Bench
from .space import Space


@dataclass(frozen=True)
class Searched:
    """How one format is searched.

    Attributes:
        open: estimates what the ways of a model cost; takes the calibration's text, or None.
        calibrates: some of its ways need a text to calibrate on.
    """

    open: Callable[[Bench, Subject, str | None], Space]
    calibrates: bool = False


def _openvino(bench: Bench, subject: Subject, text: str | None) -> Space:
    from .openvino import OpenVINOSpace

    return OpenVINOSpace(bench, subject, text if text in (None, SUITE) else str(Path(text).resolve()))


def _gguf(bench: Bench, subject: Subject, text: str | None) -> Space:
    from .gguf import GgufSpace

    return GgufSpace(bench, subject)


def _onnx(bench: Bench, subject: Subject, text: str | None) -> Space:
    from .onnx import OnnxSpace

    return OnnxSpace(bench, subject)


SPACES: dict[str, Searched] = {
    "openvino": Searched(_openvino, calibrates=True),
    "gguf": Searched(_gguf),
    "onnx": Searched(_onnx),
}
