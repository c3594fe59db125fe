"""onnxruntime's sessions, and in one a decoder of optimum's form: a cache that goes in and comes out.

By default onnxruntime's CPU provider rounds activations to 8 bits wherever weights have 8, or MatMulNBits asks for it with its
attribute accuracy_level. Both can be turned off: de-quantized weights are folded into constants, of MatMulNBits in a copy of the
graph, in memory (`onnx_exact`).
"""

from __future__ import annotations

import contextlib
import importlib.util
import re
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ..convert.onnx.names import CACHE, EMBEDS, IDS, LOGITS, TEXT_EMBEDDINGS, continued
from ..core.errors import ArtifactError, UsageError
from ..core.telemetry import silence_telemetry
from .cached import StoppedError
from .llama_cpp_binding import threads as one_a_core
from .onnx_exact import bring_in_zero_points, make_exact
from .onnx_last import last_position_only

Array = npt.NDArray[Any]
Cache = dict[str, Any]
"""By the names of the inputs: `onnxruntime.OrtValue`; of keys and values [1, heads, positions, width]."""
Change = Callable[[Any], None]
"""Makes of a model (`onnx.ModelProto`, weights outside or inside), in place, what is to be loaded."""
NAME = "onnxruntime"
_FOLDER = "session.model_external_initializers_file_folder_path"
_NO_INT8 = "session.disable_quant_qdq"
_SILENT = 4
"""Of severity; what is wrong comes as an exception."""
_GRAPH = 256 << 20
"""Bytes; a larger file has its weights inside."""
_POLL = 0.05
"""Seconds between two looks at whether to stop."""
_INPUTS = (IDS, EMBEDS, "attention_mask", "position_ids")


def require() -> None:
    """Raise UsageError if onnxruntime or onnx is not installed."""
    for package in (NAME, "onnx"):
        if importlib.util.find_spec(package) is None:
            raise UsageError(
                f"An ONNX model runs in onnxruntime, and the package {package} is not installed.",
                "pip install 'edgeconv[onnx]'",
            )


def library() -> Any:
    """Import onnxruntime, which then reports to nobody."""
    silence_telemetry()
    import onnxruntime

    return onnxruntime


class Decoder:
    """A decoder whose cache goes in and out; that of a vision-language model, with its table of embeddings."""

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
        self._empty: dict[str, Array] = {}
        self._given: set[str] = set()
        for value in self._session.get_inputs():
            if CACHE.fullmatch(value.name):
                self._empty[value.name] = _empty(path, value)
            elif value.name in _INPUTS:
                self._given.add(value.name)
            else:
                raise ArtifactError(f"{path} has the input {value.name}, which no decoder of optimum's form has.")
        self._present = {name: continued(name) for name in self._empty}
        self._outputs = [LOGITS, *self._present.values()]
        for name in self._outputs:
            if name not in outputs:
                raise ArtifactError(f"{path} has no output {name}, which a decoder of optimum's form has.")
        self._table: Any = None
        if EMBEDS in self._given:
            self._table = open_session(path.parent / f"{TEXT_EMBEDDINGS}.onnx", accurate=accurate, threads=threads)

    def embed(self, ids: Array) -> Array:
        """Return what the decoder takes for ids int64 [n]: float32 [1, n, hidden] of its table, or the ids [1, n]."""
        return self.embed_batch(ids[None])

    def embed_batch(self, ids: Array) -> Array:
        """As `embed`, for ids int64 [batch, n]."""
        if self._table is None:
            return ids
        made: Array = run(self._table, {IDS: ids}, "in the table of embeddings")[0]
        return made

    @property
    def masks(self) -> bool:
        """True if the graph takes an attention mask."""
        return "attention_mask" in self._given

    def empty(self, batch: int = 1) -> Cache:
        """Return the cache before the first token."""
        return {name: _value(np.repeat(array, batch, 0)) for name, array in self._empty.items()}

    def shortened(self, cache: Cache, count: int) -> Cache | None:
        """Return the first positions of a cache; None if a layer keeps a state, which knows no positions."""
        if any(array.size for array in self._empty.values()):
            return None
        return {name: _value(value.numpy()[:, :, :count]) for name, value in cache.items()}

    def read(
        self, given: Array, past: int, cache: Cache, stop: threading.Event | None = None, first: int = 0
    ) -> tuple[Array, Cache]:
        """Read on.

        Args:
            given: as `embed` returns it.
            past: positions in the cache.
            cache: stays as it is.
            stop: breaks it off when set, within an operator's time.
            first: the position that the cache's first token is said to have.

        Returns:
            Logits, float32 [n, vocab], or [1, vocab] with `last_only`; and the cache with what was read.

        Raises:
            ArtifactError: onnxruntime fails.
            StoppedError: `stop` was set.
        """
        total = past + given.shape[1]
        positions = np.arange(first + past, first + total, dtype=np.int64)[None]
        logits, present = self.forward(given, np.ones((1, total), np.int64), positions, cache, stop)
        return logits[0], present

    def forward(
        self, given: Array, mask: Array, positions: Array, cache: Cache, stop: threading.Event | None = None
    ) -> tuple[Array, Cache]:
        """Run a batch: as `read`, with mask int64 [batch, past + n] and positions int64 [batch, n]; logits [batch, n, vocab]."""
        logits, *present = self._run(self._outputs, self._fed(given, mask, positions) | cache, stop)
        made: Array = logits.numpy()
        return made.astype(np.float32, copy=False), dict(zip(self._present, present, strict=True))

    def values(self, names: Sequence[str], given: Array) -> list[Array]:
        """Run what `embed` gave from an empty cache; return outputs of the graph by their names. Raises ArtifactError."""
        count = given.shape[1]
        mask, positions = np.ones((1, count), np.int64), np.arange(count, dtype=np.int64)[None]
        return [made.numpy() for made in self._run(names, self._fed(given, mask, positions) | self.empty())]

    def _fed(self, given: Array, mask: Array, positions: Array) -> Cache:
        """Return what the graph takes of these, by its inputs' names."""
        feed = {
            (IDS if self._table is None else EMBEDS): given,
            "attention_mask": mask,
            "position_ids": positions,
        }
        return {name: _value(array) for name, array in feed.items() if name in self._given}

    def _run(self, outputs: Sequence[str], values: Cache, stop: threading.Event | None = None) -> list[Any]:
        with _stoppable(stop) as options:
            try:
                made: list[Any] = self._session.run_with_ort_values(list(outputs), values, options)
            except Exception as error:  # a class of its own for each kind of failure
                if stop is not None and stop.is_set():
                    raise StoppedError from error
                past = next((values[name].shape()[2] for name, array in self._empty.items() if not array.size), 0)
                raise ArtifactError(f"onnxruntime fails at position {past}: {reason(error)}.") from error
        return made

    def close(self) -> None:
        """Drop the sessions."""
        self._session = self._table = None


def run(session: Any, feed: dict[str, Array], where: str, stop: threading.Event | None = None) -> list[Array]:
    """Run a session of no cache.

    Raises:
        ArtifactError: onnxruntime fails.
        StoppedError: `stop` was set.
    """
    with _stoppable(stop) as options:
        try:
            made: list[Array] = session.run(None, feed, options)
        except Exception as error:  # a class of its own for each kind of failure
            if stop is not None and stop.is_set():
                raise StoppedError from error
            raise ArtifactError(f"onnxruntime fails {where}: {reason(error)}.") from error
    return made


@contextlib.contextmanager
def _stoppable(stop: threading.Event | None) -> Iterator[Any]:
    """Give options to a run that ends with an exception soon after `stop` is set."""
    options = library().RunOptions()
    options.log_severity_level = _SILENT
    if stop is None:
        yield options
        return
    if stop.is_set():
        raise StoppedError
    done = threading.Event()

    def watch() -> None:
        while not done.wait(_POLL):
            if stop.is_set():
                options.terminate = True
                return

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield options
    finally:
        done.set()
        watcher.join()


def open_session(
    path: Path,
    *,
    accurate: bool,
    last_only: bool = False,
    threads: int | None = None,
    change: Change | None = None,
) -> Any:
    """Load a graph; arguments as of `Decoder`. Raises ArtifactError."""
    onnxruntime = library()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads or one_a_core()
    options.log_severity_level = _SILENT
    source: str | bytes = str(path)
    if accurate:
        options.add_session_config_entry(_NO_INT8, "1")
    if accurate or change or (last_only and path.is_file() and path.stat().st_size < _GRAPH):
        source = _changed(path, accurate=accurate, last_only=last_only, change=change) or source
    if isinstance(source, bytes):
        options.add_session_config_entry(_FOLDER, str(path.parent))
    try:
        return onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # a class of its own for each kind of failure
        raise ArtifactError(
            f"onnxruntime cannot load {path}: {reason(error)}.", "Convert the checkpoint again."
        ) from error


def _changed(path: Path, *, accurate: bool, last_only: bool, change: Change | None) -> bytes | None:
    """Return the graph as it is asked for, None if it is so already."""
    import onnx

    try:
        model = onnx.load_model(path, format="protobuf", load_external_data=False)
        changed = last_only and last_position_only(model.graph)
        if accurate:
            bring_in_zero_points(model, path.parent)
            changed = make_exact(model) or changed
        if change:
            change(model)
            changed = True
        made: bytes | None = model.SerializeToString() if changed else None
    except ArtifactError:
        raise
    except Exception as error:  # protobuf's own class moves between versions
        raise ArtifactError(
            f"{path} is not an ONNX model: {reason(error)}.", "Convert the checkpoint again."
        ) from error
    return made


def _empty(path: Path, value: Any) -> Array:
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


def reason(error: BaseException) -> str:
    """Return a message without the name of the C++ file that complains."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    last = lines[-1] if lines else type(error).__name__
    return re.sub(r"^\[ONNXRuntimeError\] : \d+ : \w+ : ", "", last).rstrip(".")[:300]
