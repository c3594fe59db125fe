"""OpenVINO itself, without a pipeline around it: the decoder of an artifact, and its vision part."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from threading import Event
from typing import Any

import numpy.typing as npt

from ..convert.multimodal import described
from ..convert.program.vision import Arrays, Graph, Rows, Vision
from ..core.errors import ArtifactError
from ..core.mapped_pages import mappings, releasing
from ..core.openvino_core import openvino_core
from . import irs
from .answers import cannot_load
from .cached import StoppedError
from .decoder import DecoderRuntime
from .layout import filled

Array = npt.NDArray[Any]
Change = Callable[[Any, Path], None]
"""Changes a graph (`openvino.Model`, read from a file) in place before it is compiled."""
ACCURATE = {"EXECUTION_MODE_HINT": "ACCURACY"}
"""Turns the device's approximations off: bf16 execution, u8 KV cache, dynamic quantization."""
DEFAULTS: Mapping[str, Any] = {}
"""What is asked of the device for its defaults: nothing."""
_FIXED = re.compile(r"\.past\.(conv|ssm)\.")
"""In names of states that are no keys or values."""
_POLL = 50
"""Milliseconds between two looks at whether to stop."""


class OpenVINODecoder:
    """Implements `decoder.Decoder`: a stateful decoder IR compiled for one device, with its table of embeddings."""

    beams = True

    def __init__(
        self, folder: Path, device: str, properties: Mapping[str, Any], *, change: Change | None = None
    ) -> None:
        """Compile.

        Args:
            folder: of the artifact.
            device: OpenVINO's name.
            properties: OpenVINO's, for all parts.
            change: of the language model's graph.

        Raises:
            ArtifactError: an IR does not load, or has no state.
        """
        language, *others = irs.names(folder)
        xml = folder / language
        values = [xml.with_suffix(".bin")]
        before = mappings(values)
        # holds the mapping of the weights until they are copied into an order of the device's own: some when they are compiled,
        # most when they are first multiplied with
        self._model: Any = _read(xml, device)
        irs.require_state(folder)
        if change:
            change(self._model, xml)
        self._mapped = [one for one in mappings(values) if one not in before]
        with releasing(self._mapped):
            compiled = _compile(self._model, xml, device, properties)
        self._request: Any = compiled.create_infer_request()
        self._inputs = {name: _shape(port) for port in compiled.inputs for name in port.get_names()}
        self._table: Any = compile_ir(folder / others[0], device, properties) if others else None

    @property
    def masks(self) -> bool:
        """True if the graph takes an attention mask."""
        return "attention_mask" in self._inputs

    def empty(self, rows: int = 1) -> None:
        """Reset the state, which takes as many rows as come."""
        self._request.reset_state()

    def shorten(self, count: int) -> bool:
        """Keep the first positions: a state is [batch, heads, positions, width]; others know no positions."""
        import openvino as ov

        if any(_FIXED.search(state.name) for state in self._request.query_state()):
            return False
        for state in self._request.query_state():
            whole = state.state
            kept = ov.Tensor(whole.element_type, ov.Shape([*whole.shape[:2], count, whole.shape[3]]))
            kept.data[:] = whole.data[:, :, :count]
            state.state = kept
        return True

    def embed(self, ids: Array) -> Array:
        """Look ids [batch, n] up, or return them."""
        if self._table is None:
            return ids
        made: Array = self._table(ids)[0].copy()
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
        """Read on; what is returned is OpenVINO's own memory."""
        name = "input_ids" if self._table is None else "inputs_embeds"
        feed = {name: given, "attention_mask": mask, "beam_idx": beams}
        feed |= filled(self._inputs, given, positions, beside or {})
        with releasing(self._mapped) if self._mapped else contextlib.nullcontext():
            infer(self._request, {name: value for name, value in feed.items() if name in self._inputs}, stop)
        self._mapped, self._model = [], None
        logits: Array = self._request.get_tensor("logits").data
        return logits

    def outputs(self, numbers: Sequence[int]) -> list[Array]:
        """Return outputs of the last step by their numbers; OpenVINO's own memory."""
        return [self._request.get_output_tensor(number).data for number in numbers]

    def close(self) -> None:
        """Drop the compiled models."""
        self._request = self._table = self._model = None


class OpenVINORuntime(DecoderRuntime):
    """An artifact of IRs, for the validator."""

    def __init__(
        self, folder: Path, device: str = "CPU", *, accurate: bool = True, change: Change | None = None
    ) -> None:
        """Compile. Raises ArtifactError if an IR does not open, or has no state."""
        name = f"openvino {device}" + (", reference precision" if accurate else ", defaults")
        self._decoder: OpenVINODecoder = OpenVINODecoder(folder, device, asked(accurate=accurate), change=change)
        super().__init__(self._decoder, name)


class OpenVINOTower:
    """The vision part of an artifact: its graphs, one after the other, as the family describes them (`Vision.graphs`)."""

    def __init__(
        self,
        folder: Path,
        device: str = "CPU",
        properties: Mapping[str, Any] = ACCURATE,
        *,
        vision: Vision | None = None,
    ) -> None:
        """Compile.

        Args:
            folder: of the artifact.
            device: OpenVINO's name.
            properties: OpenVINO's.
            vision: the description; None: it is read from the folder.

        Raises:
            ArtifactError: an IR does not open, or takes something else than the family's; or the family is not known.
        """
        self._vision = vision or described(folder)[1]
        self._requests: dict[str, Any] = {}
        for graph in self._vision.graphs():
            xml = folder / irs.vision_file(graph)
            compiled = compile_ir(xml, device, properties)
            taken = {port.get_any_name() for port in compiled.inputs}
            if taken != {one.name for one in graph.inputs}:
                wanted = ", ".join(one.name for one in graph.inputs)
                raise ArtifactError(f"{xml} takes {', '.join(sorted(taken))}; {wanted} is known here.")
            self._requests[graph.name] = compiled.create_infer_request()

    def __call__(self, made: Arrays, stop: Event | None = None) -> Rows:
        """Map what the processor made of a picture to its rows. Raises StoppedError if `stop` was set."""

        def run(graph: Graph, fed: dict[str, Array]) -> list[Array]:
            request = self._requests[graph.name]
            infer(request, fed, stop)
            return [request.get_tensor(one.name).data.copy() for one in graph.outputs]

        return self._vision.see(made, run)

    def close(self) -> None:
        """Drop the compiled models."""
        self._requests = {}


def _shape(port: Any) -> tuple[int, ...]:
    """Return a port's dimensions, -1 for one of any size."""
    return tuple(one.get_length() if one.is_static else -1 for one in port.get_partial_shape())


def asked(*, accurate: bool) -> Mapping[str, Any]:
    """Return what is asked of a device: reference precision, or its defaults."""
    return ACCURATE if accurate else DEFAULTS


def compile_ir(xml: Path, device: str, properties: Mapping[str, Any]) -> Any:
    """Compile one IR. Raises ArtifactError."""
    return _compile(_read(xml, device), xml, device, properties)


def infer(request: Any, feed: dict[str, Any], stop: Event | None) -> None:
    """Infer; with `stop` so that it can be broken off, within a layer's time.

    Raises:
        StoppedError: it was.
    """
    if stop is None:
        request.infer(feed, share_outputs=True)  # else it copies every output: 100 MB of logits of a real vocabulary
        return
    if stop.is_set():
        raise StoppedError
    request.start_async(feed)
    while not request.wait_for(_POLL):
        if stop.is_set():
            request.cancel()
            break
    try:
        request.wait()
    except RuntimeError as error:
        if stop.is_set():
            raise StoppedError from error
        raise


def _read(xml: Path, device: str) -> Any:
    with _opening(xml, device):
        return openvino_core().read_model(xml)


def _compile(model: Any, xml: Path, device: str, properties: Mapping[str, Any]) -> Any:
    with _opening(xml, device):
        return openvino_core().compile_model(model, device, dict(properties))


@contextlib.contextmanager
def _opening(xml: Path, device: str) -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:
        raise cannot_load(xml, device, error) from error
