"""The three IRs of a GLM-Edge-V on plain openvino, with a cache that knows what it holds.

    ids -> text embeddings -> the rows of pictures in their placeholders' places -> language model, cached -> logits

Whatever a prompt has in common with the cache is not computed again. A placeholder in the cache stands for a row of one
picture, so a position is remembered by its id, or by the picture.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from threading import Event
from typing import Any

import numpy as np
import numpy.typing as npt

from ...core.errors import ArtefactError
from ...core.openvino_core import openvino_core
from .answers import cannot_load

LANGUAGE, TEXT_EMBEDDINGS, VISION_EMBEDDINGS = (
    f"openvino_{part}_model.xml" for part in ("language", "text_embeddings", "vision_embeddings")
)
Array = npt.NDArray[Any]
_POLL = 50
"""Milliseconds between two looks at whether to stop."""


class StoppedError(Exception):
    """A long inference was stopped on demand; the cache is empty after it."""


class Picture:
    """A picture of a conversation: its pixels until it was seen, its rows from then on.

    Attributes:
        pixels: float32 [1, 3, S, S].
        rows: float32 [k, hidden].
    """

    def __init__(self, pixels: Array) -> None:
        self.pixels: Array | None = pixels
        self.rows: Array | None = None


class CachedModel:
    """A GLM-Edge-V compiled for one device; the vision tower only once a picture is there."""

    def __init__(
        self, folder: Path, device: str, placeholder: int, properties: Mapping[str, Any] | None = None
    ) -> None:
        """Compile the language half.

        Args:
            folder: of the artefact.
            device: OpenVINO's name.
            placeholder: `boi_token_id`.
            properties: OpenVINO's, for all parts.

        Raises:
            ArtefactError: an IR does not load.
        """
        self._folder, self._device, self._properties = folder, device, dict(properties or {})
        self._placeholder = placeholder
        self._text = self._load(TEXT_EMBEDDINGS)
        self._language = self._load(LANGUAGE)
        self._inputs = {name for port in self._language.model_inputs for name in port.get_names()}
        self._vision: Any = None
        self._cached: list[int | Picture] = []

    def clear(self) -> None:
        """Empty the cache."""
        self._keep(0)

    def prefill(self, ids: Sequence[int], pictures: Sequence[Picture], stop: Event) -> Array:
        """Read a prompt, as far as the cache does not hold it.

        Args:
            ids: of the whole prompt.
            pictures: in the order of their placeholders, of which there are as many as the tower makes rows.
            stop: ends it early when set.

        Returns:
            Logits of the next token, float32 [vocab].

        Raises:
            ArtefactError: the tower makes another number of rows than there are placeholders.
            StoppedError: `stop` was set.
        """
        prompt = np.asarray(ids, np.int64)
        is_row = prompt == self._placeholder
        rows = [self.see(picture, stop) for picture in pictures]
        if sum(map(len, rows)) != is_row.sum():
            raise ArtefactError(
                f"The tower makes {sum(map(len, rows))} rows, the prompt has {is_row.sum()} placeholders.",
                "Convert the checkpoint again.",
            )
        owners = iter([picture for picture, its in zip(pictures, rows, strict=True) for _ in its])
        wanted = [next(owners) if token == self._placeholder else token for token in ids]
        start = min(_common(self._cached, wanted), len(wanted) - 1)  # the last one is read again, for its logits
        self._keep(start)
        embeds = self._embed(prompt[start:])
        if is_row[start:].any():
            embeds[0, is_row[start:]] = np.concatenate(rows)[is_row[:start].sum() :]
        return self._forward(embeds, wanted[start:], stop)

    def step(self, token: int) -> Array:
        """Read one more token; return the logits of the next, float32 [vocab]."""
        return self._forward(self._embed(np.array([token], np.int64)), [token], None)

    def see(self, picture: Picture, stop: Event) -> Array:
        """Return a picture's rows, float32 [k, hidden]; the tower runs once for each. Raises StoppedError."""
        if picture.rows is None:
            if self._vision is None:
                self._vision = self._load(VISION_EMBEDDINGS)
            _infer(self._vision, {"pixel_values": picture.pixels}, stop)
            picture.rows = self._vision.get_tensor("last_hidden_state").data[0].copy()
            picture.pixels = None
        rows: Array = picture.rows
        return rows

    def _embed(self, ids: Array) -> Array:
        embeds: Array = self._text.infer({"input": ids[None]})["inputs_embeds"].copy()
        return embeds

    def _forward(self, embeds: Array, new: Sequence[int | Picture], stop: Event | None) -> Array:
        past, total = len(self._cached), len(self._cached) + len(new)
        feed: dict[str, Any] = {
            "inputs_embeds": embeds,
            "attention_mask": np.ones((1, total), np.int64),
            "position_ids": np.arange(past, total, dtype=np.int64)[None],
            "beam_idx": np.zeros(1, np.int32),
        }
        before, self._cached = self._cached, []  # of a failed inference nothing is known
        _infer(self._language, {name: value for name, value in feed.items() if name in self._inputs}, stop)
        self._cached = [*before, *new]
        logits: Array = self._language.get_tensor("logits").data[0, -1].astype(np.float32)
        return logits

    def _keep(self, count: int) -> None:
        """Shorten the cache to its first positions; a state is [batch, heads, positions, width]."""
        import openvino as ov

        if count == 0:
            self._language.reset_state()
        elif count < len(self._cached):
            for state in self._language.query_state():
                whole = state.state
                kept = ov.Tensor(whole.element_type, ov.Shape([*whole.shape[:2], count, whole.shape[3]]))
                kept.data[:] = whole.data[:, :, :count]
                state.state = kept
        self._cached = self._cached[:count]

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


def _common(left: Sequence[int | Picture], right: Sequence[int | Picture]) -> int:
    """Count the positions at the beginning that are equal."""
    pairs = enumerate(zip(left, right, strict=False))
    return next((i for i, (a, b) in pairs if a != b), min(len(left), len(right)))


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
