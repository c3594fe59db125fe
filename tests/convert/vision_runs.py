"""Independent runs of converted vision-language models, for tests: graphs in a row, rows into places, the language model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edgeconv.convert.program.vision import Graph, Rows, Vision
from edgeconv.validate.multimodal.processor import Processor, Turn

from ..ir import ACCURATE
from .onnx import reading

Array = np.ndarray
Arrays = Mapping[str, Array]


@dataclass(frozen=True)
class Prompt:
    """A prompt as transformers' processor makes it.

    Attributes:
        ids: with placeholders.
        arrays: all else, as transformers' model takes it.
        pictures: what the processor makes of each picture alone.
    """

    ids: list[int]
    arrays: Arrays
    pictures: list[Arrays]


def prompt(processor: Processor, pictures: Sequence[Any], answer: Sequence[int]) -> Prompt:
    """Ask about pictures; `answer` are the ids behind the prompt."""
    made = processor([Turn("user", "What is this?", tuple(pictures))])
    alone = [processor([Turn("user", "?", (one,))]).pixels for one in pictures]
    count = len(answer)
    arrays = {
        name: np.pad(one, ((0, 0), (0, count))) if name.endswith("token_type_ids") else one
        for name, one in made.arrays.items()
    }
    return Prompt(made.ids + list(answer), arrays, alone)


class Runs:
    """An artifact in one runtime."""

    def __init__(self, vision: Vision) -> None:
        self.vision = vision

    def rows(self, made: Arrays) -> Rows:
        """What the encoder gives for a picture."""
        raise NotImplementedError

    def embed(self, ids: Sequence[int]) -> Array:
        """[n, hidden]."""
        raise NotImplementedError

    def run(self, feed: dict[str, Array], start: int) -> Array:
        """The language model's logits [n, vocab]; `start` continues after that many positions."""
        raise NotImplementedError

    def logits(self, asked: Prompt, parts: Sequence[int] = ()) -> Array:
        """The logits of all positions [n, vocab]; `parts`: the places at which the text is cut into calls."""
        ids, vision = asked.ids, self.vision
        seen = [self.rows(one) for one in asked.pictures]
        here = np.array(ids) == vision.placeholder
        merged = self.embed(ids)
        if seen:
            merged[here] = np.concatenate([one.rows for one in seen])
        positions = vision.positions(ids, asked.pictures)
        positions = positions[:, None] if positions.ndim > 1 else positions[None]
        beside = {name: one[None] for name, one in vision.language_inputs(ids).items()}
        found = []
        for start, stop in zip((0, *parts), (*parts, len(ids)), strict=True):
            feed = {
                "inputs_embeds": merged[None, start:stop],
                "attention_mask": np.ones((1, stop), np.int64),
                "position_ids": np.ascontiguousarray(positions[..., start:stop]),
                **{name: np.ascontiguousarray(one[:, start:stop]) for name, one in beside.items()},
                **_deep(seen, here[start:stop], here[:start].sum()),
            }
            found.append(self.run(feed, start))
        return np.concatenate(found)


def _deep(seen: Sequence[Rows], here: Array, before: int) -> dict[str, Array]:
    deep = [one.deep for one in seen if one.deep is not None]
    if not deep:
        return {}
    stacks = np.concatenate(deep, 1)[:, before : before + here.sum()]
    return {"visual_pos_masks": here[None], "deepstack_visual_embeds": np.ascontiguousarray(stacks)}


class OpenVino(Runs):
    """Its IRs, the encoder's one behind the other."""

    def __init__(self, folder: Path, vision: Vision) -> None:
        super().__init__(vision)
        import openvino as ov

        core = ov.Core()

        def compiled(name: str) -> Any:
            return core.compile_model(folder / f"openvino_{name}_model.xml", "CPU", ACCURATE)

        self.graphs = {graph.name: compiled(graph.name).create_infer_request() for graph in vision.graphs()}
        self.table = compiled("text_embeddings").create_infer_request()
        language = compiled("language")
        self.language, self.inputs = language.create_infer_request(), {one.any_name: one for one in language.inputs}

    def rows(self, made: Arrays) -> Rows:
        def run(graph: Graph, fed: dict[str, Array]) -> list[Array]:
            results = self.graphs[graph.name].infer(fed)
            return [results[one.name].copy() for one in graph.outputs]

        return self.vision.see(made, run)

    def embed(self, ids: Sequence[int]) -> Array:
        made: Array = self.table.infer({"input": np.array([ids], np.int64)})["inputs_embeds"][0].copy()
        return made

    def run(self, feed: dict[str, Array], start: int) -> Array:
        if start == 0:
            self.language.reset_state()
        feed = feed | {"beam_idx": np.zeros(1, np.int32)}
        made: Array = self.language.infer({**_nothing_seen(self.inputs, feed), **feed})["logits"][0].copy()
        return made


class Onnx(Runs):
    """Its ONNX models."""

    def __init__(self, folder: Path, vision: Vision) -> None:
        super().__init__(vision)
        self.encoder, self.table, self.language = (
            reading.session(folder / name, exact=True) for name in (reading.TOWER, reading.TABLE, reading.LANGUAGE)
        )
        self._inputs = {one.name: one for one in self.language.get_inputs()}
        self._outputs = [one.name for one in self.language.get_outputs()]
        self._cache: dict[str, Array] = {}

    def rows(self, made: Arrays) -> Rows:
        graph = self.vision.whole()
        names = ["image_features", *(one.name for one in graph.outputs[1:])]
        return self.vision.rows(self.encoder.run(names, graph.fed(made, {})), made)

    def embed(self, ids: Sequence[int]) -> Array:
        made: Array = self.table.run(["inputs_embeds"], {"input_ids": np.array([ids], np.int64)})[0][0]
        return made

    def run(self, feed: dict[str, Array], start: int) -> Array:
        if start == 0:
            self._cache = {
                name: reading.empty(one.shape, 1) for name, one in self._inputs.items() if name.startswith("past_")
            }
        feed = {**_nothing_seen(self._inputs, feed), **feed, **self._cache}
        made = dict(zip(self._outputs, self.language.run(None, feed), strict=True))
        self._cache = {name: made[reading.continued(name)] for name in self._cache}
        logits: Array = made["logits"][0]
        return logits


def _nothing_seen(inputs: Mapping[str, Any], feed: Mapping[str, Array]) -> dict[str, Array]:
    """What a language model with DeepStack takes of words alone."""
    if "visual_pos_masks" not in inputs or "visual_pos_masks" in feed:
        return {}
    count, hidden = feed["inputs_embeds"].shape[1:]
    port = inputs["deepstack_visual_embeds"]
    shape = port.partial_shape if hasattr(port, "partial_shape") else port.shape
    first = shape[0]
    layers = first if isinstance(first, int) else first.get_length()
    return {
        "visual_pos_masks": np.zeros((1, count), bool),
        "deepstack_visual_embeds": np.zeros((layers, 0, hidden), np.float32),
    }
