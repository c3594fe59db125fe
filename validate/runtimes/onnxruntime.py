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

from ...convert.onnx.decoder import EMBEDS, IDS
from ...convert.onnx.names import TEXT_EMBEDDINGS, VISION_EMBEDDINGS
from ...convert.onnx.vision import FEATURES, PIXELS
from ...core.errors import ArtefactError, UsageError
from .. import onnx_models
from .llama_cpp import threads
from .onnx_exact import bring_in_zero_points, make_exact

Array = npt.NDArray[Any]
NAME = "onnxruntime"
_FOLDER = "session.model_external_initializers_file_folder_path"
_NO_INT8 = "session.disable_quant_qdq"
_PAST = re.compile(r"past_key_values\.(\d+)\.(key|value)")
_INPUTS = (IDS, EMBEDS, "attention_mask", "position_ids")


def require() -> None:
    """Raise UsageError if onnxruntime or onnx is not installed."""
    for package in (NAME, "onnx"):
        if importlib.util.find_spec(package) is None:
            raise UsageError(
                f"An ONNX model is validated in onnxruntime, and the package {package} is not installed.",
                "pip install 'edgeconv[onnx]'",
            )


class OnnxRuntime:
    """A decoder whose cache goes in and out; that of a model that sees, with its table of embeddings."""

    def __init__(self, folder: Path, *, accurate: bool = True) -> None:
        """Load.

        Args:
            folder: the artefact.
            accurate: approximations off.

        Raises:
            ArtefactError: onnxruntime refuses it, or it is no decoder of optimum's form.
        """
        self.name = f"{NAME} CPU" + (", approximations off" if accurate else ", defaults")
        path = folder / onnx_models.names(folder)[0]
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
        self._table: Any = None
        if EMBEDS in self._given:
            self._table = _open(folder / f"{TEXT_EMBEDDINGS}.onnx", accurate=accurate)

    def logits(self, ids: Sequence[int], chunk: int | None = None, embeddings: Array | None = None) -> Iterator[Array]:
        """Give the logits from an empty cache, `chunk` positions at a time.

        Args:
            ids: the tokens.
            chunk: None: all at once.
            embeddings: float32 [n, hidden] to take instead of the tokens' own, of a model that sees.
        """
        self._cache = dict(self._past)
        step = chunk or len(ids)
        for start in range(0, len(ids), step):
            part = slice(start, start + step)
            yield self._infer(ids[part], start, None if embeddings is None else embeddings[part])

    def decode(self, ids: Sequence[int]) -> Iterator[Array]:
        """Give the logits one token at a time."""
        return self.logits(ids, 1)

    def generate(
        self, ids: Sequence[int], count: int, stop: Sequence[int], embeddings: Array | None = None
    ) -> list[int]:
        """Continue greedily; `embeddings` as in `logits`."""
        self._cache = dict(self._past)
        made: list[int] = []
        logits, position = self._infer(ids, 0, embeddings), len(ids)
        while len(made) < count:
            made.append(int(logits[-1].argmax()))
            if made[-1] in stop:
                break
            logits = self._infer(made[-1:], position)
            position += 1
        return made

    def embed(self, ids: Sequence[int]) -> Array:
        """Look tokens up in the table of a model that sees: float32 [n, hidden]."""
        rows: Array = _run(self._table, {IDS: np.array([list(ids)], np.int64)}, "in the table of embeddings")[0][0]
        return rows

    def close(self) -> None:
        """Drop the sessions."""
        self._session, self._table, self._cache = None, None, {}

    def _infer(self, ids: Sequence[int], past: int, embeddings: Array | None = None) -> Array:
        total = past + len(ids)
        if self._table is None:
            start: Array = np.array([list(ids)], np.int64)
        else:
            start = (self.embed(ids) if embeddings is None else embeddings)[None]
        feed: dict[str, Any] = {
            (IDS if self._table is None else EMBEDS): start,
            "attention_mask": np.ones((1, total), np.int64),
            "position_ids": np.arange(past, total, dtype=np.int64)[None],
        }
        feed = {name: value for name, value in feed.items() if name in self._given} | self._cache
        made = _run(self._session, feed, f"at position {past}")
        self._cache = {name: made[place] for name, place in self._present.items()}
        logits: Array = made[self._logits][0]
        return logits.astype(np.float32, copy=False)

    def _place(self, path: Path, name: str) -> int:
        if name not in self._outputs:
            raise ArtefactError(f"{path} has no output {name}, which a decoder of optimum's form has.")
        return self._outputs.index(name)


class OnnxTower:
    """The half of an artefact that sees: pixels to the rows that take the placeholders' places."""

    def __init__(self, folder: Path, *, accurate: bool = True) -> None:
        """Load. Raises ArtefactError if onnxruntime refuses it, or it is not of the form that `edgeconv onnx` writes."""
        path = folder / f"{VISION_EMBEDDINGS}.onnx"
        self._session: Any = _open(path, accurate=accurate)
        names = [[v.name for v in side] for side in (self._session.get_inputs(), self._session.get_outputs())]
        if names != [[PIXELS], [FEATURES]]:
            raise ArtefactError(f"{path} makes {names[1]} of {names[0]}; {FEATURES} of {PIXELS} is known.")

    def __call__(self, pixels: Array) -> Array:
        """Map float32 [3, S, S] to float32 [rows, hidden]."""
        rows: Array = _run(self._session, {PIXELS: pixels[None]}, "on a picture")[0][0]
        return rows

    def close(self) -> None:
        """Drop the session."""
        self._session = None


def _run(session: Any, feed: dict[str, Any], where: str) -> list[Array]:
    try:
        made: list[Array] = session.run(None, feed)
    except Exception as error:  # a class of its own for each kind of failure
        raise ArtefactError(f"onnxruntime fails {where}: {_reason(error)}.") from error
    return made


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
