"""The three IRs of a GLM-Edge-V on plain openvino.

ids -> text embeddings -> the rows of pictures in their placeholders' places -> language model, cached -> logits
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from threading import Event
from typing import Any

import numpy as np

from ..core.openvino_core import openvino_core
from .answers import cannot_load
from .cached import Array, Cached, StoppedError

LANGUAGE, TEXT_EMBEDDINGS, VISION_EMBEDDINGS = (
    f"openvino_{part}_model.xml" for part in ("language", "text_embeddings", "vision_embeddings")
)
_FIXED = re.compile(r"\.past\.(conv|ssm)\.")
"""In names of states that are no keys or values."""
_POLL = 50
"""Milliseconds between two looks at whether to stop."""


class CachedModel(Cached):
    """A GLM-Edge-V compiled for one device; the vision tower only once a picture is there."""

    def __init__(
        self, folder: Path, device: str, placeholder: int, properties: Mapping[str, Any] | None = None
    ) -> None:
        """Compile the language model.

        Args:
            folder: of the artifact.
            device: OpenVINO's name.
            placeholder: `boi_token_id`.
            properties: OpenVINO's, for all parts.

        Raises:
            ArtifactError: an IR does not load.
        """
        super().__init__(placeholder)
        self._folder, self._device, self._properties = folder, device, dict(properties or {})
        self._text = self._load(TEXT_EMBEDDINGS)
        self._language = self._load(LANGUAGE)
        self._inputs = {name for port in self._language.model_inputs for name in port.get_names()}
        self._vision: Any = None

    def _look(self, pixels: Array, stop: Event) -> Array:
        if self._vision is None:
            self._vision = self._load(VISION_EMBEDDINGS)
        _infer(self._vision, {"pixel_values": pixels}, stop)
        rows: Array = self._vision.get_tensor("last_hidden_state").data[0].copy()
        return rows

    def _embed(self, ids: Array) -> Array:
        embeds: Array = self._text.infer({"input": ids[None]})["inputs_embeds"].copy()
        return embeds

    def _infer(self, given: Array, past: int, stop: Event | None) -> Array:
        total = past + given.shape[1]
        feed: dict[str, Any] = {
            "inputs_embeds": given,
            "attention_mask": np.ones((1, total), np.int64),
            "position_ids": np.arange(past, total, dtype=np.int64)[None],
            "beam_idx": np.zeros(1, np.int32),
        }
        _infer(self._language, {name: value for name, value in feed.items() if name in self._inputs}, stop)
        logits: Array = self._language.get_tensor("logits").data[0, -1].astype(np.float32)
        return logits

    def _shorten(self, count: int) -> bool:
        """A state is [batch, heads, positions, width]; others know no positions."""
        import openvino as ov

        if count == 0:
            self._language.reset_state()
            return True
        if any(_FIXED.search(state.name) for state in self._language.query_state()):
            return False
        for state in self._language.query_state():
            whole = state.state
            kept = ov.Tensor(whole.element_type, ov.Shape([*whole.shape[:2], count, whole.shape[3]]))
            kept.data[:] = whole.data[:, :, :count]
            state.state = kept
        return True

    def _load(self, name: str) -> Any:
        core = openvino_core()
        try:
            model = core.read_model(self._folder / name)
            if name == LANGUAGE:
                _last_position_only(model)
            return core.compile_model(model, self._device, self._properties).create_infer_request()
        except RuntimeError as error:
            raise cannot_load(self._folder / name, self._device, error) from error


def _last_position_only(model: Any) -> None:
    """Let the last layer see the last position only: over a picture's 578 its logits would take 140 MB.

    Where the graph ends otherwise than in a product, it is left as it is.
    """
    import openvino.opset13 as ops

    product = model.get_results()[0].input_value(0).get_node()
    if product.get_type_name() == "MatMul":
        source = product.input_value(0)
        last = ops.slice(source, [-1], [np.iinfo(np.int64).max], [1], [1])
        product.input(0).replace_source_output(last.output(0))
        model.validate_nodes_and_infer_types()


def _infer(request: Any, feed: dict[str, Any], stop: Event | None) -> None:
    """Infer; with `stop` so that it can be broken off, within a layer's time.

    Raises:
        StoppedError: it was.
    """
    if stop is None:
        request.infer(feed)
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
