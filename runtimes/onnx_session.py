"""onnxruntime's sessions: how a graph is loaded, run and stopped.

By default onnxruntime's CPU provider rounds activations to 8 bits wherever weights have 8, or MatMulNBits asks for it with its
attribute accuracy_level. Both can be turned off: de-quantized weights are folded into constants, of MatMulNBits in a copy of the
graph, in memory (`onnx_exact`).
"""

from __future__ import annotations

import contextlib
import importlib.util
import re
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy.typing as npt

from ..core.errors import ArtifactError, UsageError
from ..core.telemetry import silence_telemetry
from .cached import StoppedError
from .llama_cpp_binding import threads as one_a_core
from .onnx_exact import bring_in_zero_points, make_exact
from .onnx_last import last_position_only

Array = npt.NDArray[Any]
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


def run(session: Any, feed: dict[str, Array], where: str, stop: threading.Event | None = None) -> list[Array]:
    """Run a session of no cache.

    Raises:
        ArtifactError: onnxruntime fails.
        StoppedError: `stop` was set.
    """
    with stoppable(stop) as options:
        try:
            made: list[Array] = session.run(None, feed, options)
        except Exception as error:  # a class of its own for each kind of failure
            if stop is not None and stop.is_set():
                raise StoppedError from error
            raise ArtifactError(f"onnxruntime fails {where}: {reason(error)}.") from error
    return made


@contextlib.contextmanager
def stoppable(stop: threading.Event | None) -> Iterator[Any]:
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
    """Load a graph; arguments as of `onnx_decoder.OnnxDecoder`. Raises ArtifactError."""
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


def reason(error: BaseException) -> str:
    """Return a message without the name of the C++ file that complains."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    last = lines[-1] if lines else type(error).__name__
    return re.sub(r"^\[ONNXRuntimeError\] : \d+ : \w+ : ", "", last).rstrip(".")[:300]
