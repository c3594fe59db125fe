"""onnxruntime itself, without a pipeline around it: logits of every position, prefilled or cached.

By default its CPU provider rounds activations to 8 bits wherever weights have 8, or MatMulNBits asks for it with its attribute
accuracy_level. Both can be turned off: de-quantised weights are folded into constants, of MatMulNBits in a copy of the graph, in
memory (`onnx_exact`).
"""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ...core.errors import ArtefactError, UsageError
from .llama_cpp import threads
from .onnx_exact import bring_in_zero_points, make_exact

Array = npt.NDArray[Any]
NAME = "onnxruntime"
_FOLDER = "session.model_external_initializers_file_folder_path"
_NO_INT8 = "session.disable_quant_qdq"
_PAST = re.compile(r"past_key_values\.(\d+)\.(key|value)")
_INPUTS = ("input_ids", "attention_mask", "position_ids")


def require() -> None:
    """Raise UsageError if onnxruntime or onnx is not installed."""
    for package in (NAME, "onnx"):
        if importlib.util.find_spec(package) is None:
            raise UsageError(
                f"An ONNX model is validated in onnxruntime, and the package {package} is not installed.",
                "pip install 'edgeconv[onnx]'",
            )


class OnnxRuntime:
    """A decoder whose cache goes in and out."""

    def __init__(self, path: Path, *, accurate: bool = True) -> None:
        """Load.

        Args:
            path: the .onnx.
            accurate: approximations off.

        Raises:
            ArtefactError: onnxruntime refuses it, or it is no decoder of optimum's form.
        """
        self.name = f"{NAME} CPU" + (", approximations off" if accurate else ", defaults")
        self._session: Any = _open(path, accurate=accurate)
        self._outputs = [value.name for value in self._session.get_outputs()]
        self._past: dict[str, Array] = {}
        self._given: set[str] = set()
        for value in self._session.get_inputs():
            if _PAST.fullmatch(value.name):
                self._past[value.name] = _empty(path, value)
            elif value.name in _INPUTS:
                self._given.add(value.name)
            else:
                raise ArtefactError(f"{path} has the input {value.name}, which no decoder of optimum's form has.")
        self._logits = self._place(path, "logits")
        self._present = {name: self._place(path, name.replace("past_key_values", "present")) for name in self._past}
        self._cache: dict[str, Array] = {}

    def logits(self, ids: Sequence[int], chunk: int | None = None) -> Iterator[Array]:
        """Give the logits from an empty cache, `chunk` positions at a time."""
        self._cache = dict(self._past)
        step = chunk or len(ids)
        for start in range(0, len(ids), step):
            yield self._infer(ids[start : start + step], start)

    def decode(self, ids: Sequence[int]) -> Iterator[Array]:
        """Give the logits one token at a time."""
        return self.logits(ids, 1)

    def generate(self, ids: Sequence[int], count: int, stop: Sequence[int]) -> list[int]:
        """Continue greedily."""
        self._cache = dict(self._past)
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
        """Drop the session."""
        self._session, self._cache = None, {}

    def _infer(self, ids: Sequence[int], past: int) -> Array:
        total = past + len(ids)
        feed: dict[str, Any] = {
            "input_ids": np.array([list(ids)], np.int64),
            "attention_mask": np.ones((1, total), np.int64),
            "position_ids": np.arange(past, total, dtype=np.int64)[None],
        }
        feed = {name: value for name, value in feed.items() if name in self._given} | self._cache
        try:
            made = self._session.run(None, feed)
        except Exception as error:  # a class of its own for each kind of failure
            raise ArtefactError(f"onnxruntime fails at position {past}: {_reason(error)}.") from error
        self._cache = {name: made[place] for name, place in self._present.items()}
        logits: Array = made[self._logits][0]
        return logits.astype(np.float32, copy=False)

    def _place(self, path: Path, name: str) -> int:
        if name not in self._outputs:
            raise ArtefactError(f"{path} has no output {name}, which a decoder of optimum's form has.")
        return self._outputs.index(name)


def _open(path: Path, *, accurate: bool) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads()
    options.log_severity_level = 4  # what is wrong comes as an exception
    source: str | bytes = str(path)
    if accurate:
        options.add_session_config_entry(_NO_INT8, "1")
        source = _exact(path) or source
    if isinstance(source, bytes):
        options.add_session_config_entry(_FOLDER, str(path.parent))
    try:
        return onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # a class of its own for each kind of failure
        raise ArtefactError(
            f"onnxruntime cannot load {path}: {_reason(error)}.", "Convert the checkpoint again."
        ) from error


def _exact(path: Path) -> bytes | None:
    """Return the graph with products in float32, None if it has them already."""
    import onnx

    try:
        model = onnx.load_model(path, format="protobuf", load_external_data=False)
        bring_in_zero_points(model, path.parent)
        made: bytes | None = model.SerializeToString() if make_exact(model) else None
    except Exception as error:  # protobuf's own class moves between versions
        raise ArtefactError(f"{path} is no ONNX model: {_reason(error)}.", "Convert the checkpoint again.") from error
    return made


def _empty(path: Path, value: Any) -> Array:
    """Return the cache of one layer before the first token: [1, heads, 0, head_dim]."""
    types = {"tensor(float)": np.float32, "tensor(float16)": np.float16}
    shape = value.shape
    if value.type not in types or len(shape) != 4 or not (isinstance(shape[1], int) and isinstance(shape[3], int)):
        raise ArtefactError(
            f"{path} wants {value.name} as {value.type} {shape}; float [batch, heads, past, size] is known."
        )
    return np.zeros((1, shape[1], 0, shape[3]), types[value.type])


def _reason(error: BaseException) -> str:
    """Return a message without the name of the C++ file that complains."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    last = lines[-1] if lines else type(error).__name__
    return re.sub(r"^\[ONNXRuntimeError\] : \d+ : \w+ : ", "", last).rstrip(".")[:300]
