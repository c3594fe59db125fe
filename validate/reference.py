"""The torch reference, layer by layer: every document through one layer before the next is loaded.

Peak memory is one layer in float32 plus the hidden states of all documents, so that a 6B reference fits a small machine. The
layers are transformers' own; their weights come from the checkpoint, or de-quantized from an artifact.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy.typing as npt

from ..convert.native_config import read_config
from ..core.errors import ConversionError
from ..core.progress import Progress
from . import peaks, rows
from .derived_buffers import derive
from .entries import Entry, entry
from .head import Head
from .loaded_names import seen_names
from .lookups import lookup
from .module_weights import Tensors, loaded
from .multimodal import positions, tower
from .multimodal.features import Features, Seen
from .recorder import Recorder, Tail
from .reference_shell import shell, structure

Array = npt.NDArray[Any]
_UNWATCHED: contextlib.AbstractContextManager[None] = contextlib.nullcontext()
Calls = list[list[dict[str, Any]]]
"""For each document and layer the arguments and options with which the model calls the layer, and what it adds to its states."""


@dataclass(frozen=True)
class Layer:
    """A layer that has its weights: `run(document's number, states [1, n, hidden])` gives the states after it."""

    module: Any
    prefix: str
    run: Callable[[int, Any], Any]


class LayeredReference:
    """A model of transformers whose weights are never all in memory."""

    def __init__(
        self, source: Path | Any, tensors: Tensors, dtype: str = "float32", attention: str | None = None
    ) -> None:
        """Build the shell.

        Args:
            source: the checkpoint's folder, with config.json; or transformers' config itself.
            tensors: the source of the weights, by the names of transformers' modules (`loaded_names.as_loaded`).
            dtype: torch's name of the type in which everything is computed.
            attention: transformers' name of its implementation; None: the fastest that computes all that the model's does.

        Raises:
            ConversionError: as `reference_shell.structure`.
        """
        self._given = tensors
        self._dtype = dtype
        config = read_config(source) if isinstance(source, Path) else source
        self._seen = seen_names(config)
        self._shell = shell(config, attention, dtype)
        self._parts = structure(self._shell)
        self._body: Any = self._parts.body
        self._tail: Tail | None = None
        self._entered: list[Entry] = []
        self.attention = str(self._shell.config.get_text_config()._attn_implementation)
        self.peaks: list[float] = []
        """The largest activation of each layer in the last `hidden_states`."""
        self.frequencies: Array | None = None
        """Rotary frequencies to take for those of the config, float32 [n], where a module has so many."""
        text = config.get_text_config()
        self._softcap = getattr(text, "final_logit_softcapping", None)
        scales = (getattr(text, name, None) for name in ("logit_scale", "lm_head_multiplier"))
        self._scale = math.prod(float(one or 1) for one in scales) / float(getattr(text, "logits_scaling", None) or 1)

    def hidden_states(
        self,
        documents: Sequence[Sequence[int]],
        progress: Progress,
        label: str,
        embeddings: Sequence[Array] | None = None,
        watch: Callable[[Any, str], contextlib.AbstractContextManager[None]] | None = None,
        *,
        firsts: Sequence[int] | None = None,
        row: int = 0,
        pictures: Sequence[Seen | None] | None = None,
    ) -> list[Array]:
        """Return the final (normed) hidden states of each document, float32 [n, hidden].

        Args:
            documents: token ids.
            progress: reports tokens times layers.
            label: what the step is called.
            embeddings: for each document float32 [n, hidden] to take instead of its tokens' own.
            watch: entered with each layer and its prefix ("model.layers.0.") while all documents pass through it.
            firsts: the position of each document's first token; None: 0.
            row: tokens that documents may have together which run side by side (`rows`); 0: each runs alone.
            pictures: those of each document.
        """
        import torch

        self.peaks = []
        if not documents:
            return []
        task = progress.task(label, (self.depth + 1) * sum(map(len, documents)))
        apart = embeddings is not None or pictures is not None
        laid = rows.alone(documents, firsts) if apart else rows.shared(documents, firsts, row)
        with torch.no_grad():
            states, calls = self._enter(laid, embeddings, pictures=pictures)
            for i in range(self.depth):
                with (
                    self.layer(i, calls) as layer,
                    peaks.watched(layer.module) as peak,
                    watch(layer.module, layer.prefix) if watch else _UNWATCHED,
                ):
                    for d, made in enumerate(states):
                        states[d] = layer.run(d, made)
                        task.advance(len(laid[d].ids))
                self.peaks.append(peak.value)
            finals = self.leave(states)
        task.finish()
        return [part for one, final in zip(laid, finals, strict=True) for part in one.cut(final)]

    @property
    def depth(self) -> int:
        """Number of layers."""
        return len(self._layers)

    @property
    def _layers(self) -> Any:
        return getattr(self._body, self._parts.layers)

    @property
    def embedding_scale(self) -> float:
        """What the model multiplies a token's embedding with: 1, but for Gemma and Granite."""
        config = self._shell.config.get_text_config()
        if hasattr(self._shell.get_input_embeddings(), "embed_scale"):
            return float(config.hidden_size**0.5)
        return float(getattr(config, "embedding_multiplier", None) or 1)

    @contextlib.contextmanager
    def layer(self, index: int, calls: Calls, tensors: Tensors | None = None) -> Iterator[Layer]:
        """Load a layer for a while, with the checkpoint's weights or with others; `calls` as `enter` gives them."""
        module, prefix = self._layers[index], f"{self._parts.prefix}{self._parts.layers}.{index}."

        def run(document: int, states: Any) -> Any:
            call = calls[document][index]
            output = module(states, *call["arguments"], **call["options"])
            made = output[0] if isinstance(output, tuple) else output
            return made if call["added"] is None else made + call["added"]

        with self._loaded(module, prefix, tensors):
            yield Layer(module, self._seen(prefix), run)

    def leave(self, states: Sequence[Any], tensors: Tensors | None = None) -> list[Array]:
        """Pass what the last layer made, of each document, through what stands behind it: float32 [n, hidden].

        `tensors`: other weights than the checkpoint's.
        """
        if self._known_tail.modules is None:
            return self._again(states, tensors)
        with self.norm(tensors) as norm:
            return [norm(made)[0].float().numpy() for made in states]

    @property
    def _known_tail(self) -> Tail:
        if self._tail is None:
            raise RuntimeError("nothing has entered the model")
        return self._tail

    @contextlib.contextmanager
    def norm(self, tensors: Tensors | None = None) -> Iterator[Callable[[Any], Any]]:
        """Load for a while what states pass behind the layers, mostly a norm; something must have entered before.

        Raises:
            ConversionError: more happens there than that.
        """
        tail = self._known_tail
        if tail.modules is None:
            raise ConversionError(
                f"What model_type {self._shell.config.model_type} does behind its layers is not a norm alone."
            )
        with contextlib.ExitStack() as stack:
            for name in tail.modules:
                stack.enter_context(self._loaded(getattr(self._body, name), f"{self._parts.prefix}{name}.", tensors))
            yield lambda states: tail.run(self._body, states)

    def _again(self, states: Sequence[Any], tensors: Tensors | None) -> list[Array]:
        """Run all but the layers once more, which give what they are told."""
        finals = []
        with self._outside(tensors):
            for made, entered in zip(states, self._entered, strict=True):
                recorder = Recorder(self._layers, as_tuple=self._known_tail.as_tuple, given=made)
                with recorder.standing_in(self._body, self._parts.layers):
                    finals.append(entered.run().last_hidden_state)
        return [final[0].float().numpy() for final in finals]

    @property
    def head_name(self) -> str:
        """The tensor that the last projection uses: the embeddings' if they are tied."""
        tied = self._shell.config.get_text_config().tie_word_embeddings
        return self._seen(f"{self._parts.table if tied else self._parts.head}.weight")

    def head(self, tensors: Tensors | None = None) -> Head:
        """Return the projection to logits, of the checkpoint's weights or of others."""
        tensors = self._source(tensors)
        module = self._shell.get_output_embeddings()
        bias = tensors(f"{self._parts.head}.bias") if module.bias is not None else None
        return Head(tensors(self.head_name), bias, self._dtype, self._softcap, self._scale)

    def embed(self, documents: Sequence[Sequence[int]]) -> list[Array]:
        """Look each document's tokens up: float32 [n, hidden], as the table holds them."""
        table = self._source(None)(f"{self._parts.table}.weight")
        return [table[list(ids)].float().numpy() for ids in documents]

    def features(
        self,
        prompts: Sequence[Mapping[str, Array]],
        progress: Progress,
        label: str,
        within: Callable[[Any], contextlib.AbstractContextManager[None]] | None = None,
    ) -> list[Features]:
        """Run the vision part over what the processor made of each prompt's pictures; `within` as of `tower.features`."""
        given = self._source(None)
        return tower.features(
            self._parts, given, prompts, dtype=self._dtype, progress=progress, label=label, within=within
        )

    def positions(self, ids: Sequence[int], arrays: Mapping[str, Array]) -> Array:
        """Return the positions that the model gives the tokens of a prompt, int64 [n], or [axes, n] of several (M-RoPE).

        Args:
            ids: of the prompt.
            arrays: what the processor made of the prompt beside them.
        """
        return positions.of_prompt(self._parts.whole, ids, arrays)

    def enter(
        self,
        documents: Sequence[Sequence[int]],
        embeddings: Sequence[Array] | None = None,
        tensors: Tensors | None = None,
        firsts: Sequence[int] | None = None,
        pictures: Sequence[Seen | None] | None = None,
    ) -> tuple[list[Any], Calls]:
        """Embed each document, and learn from the model itself what it passes to each layer.

        Args:
            documents: token ids.
            embeddings: as for `hidden_states`.
            tensors: the source of the embeddings; None: the checkpoint.
            firsts: as for `hidden_states`.
            pictures: likewise.

        Returns:
            What enters the first layer, torch [1, n, hidden] of each document, and what `layer` needs to be called.
        """
        return self._enter(rows.alone(documents, firsts), embeddings, tensors, pictures)

    def _enter(
        self,
        laid: Sequence[rows.Row],
        embeddings: Sequence[Array] | None,
        tensors: Tensors | None = None,
        pictures: Sequence[Seen | None] | None = None,
    ) -> tuple[list[Any], Calls]:
        """Do as `enter` does, for rows."""
        import torch

        states, calls = [], []
        kind = getattr(torch, self._dtype)
        self._entered = [
            entry(self._parts, row, embeddings[d] if embeddings else None, pictures[d] if pictures else None, kind)
            for d, row in enumerate(laid)
        ]
        with self._outside(tensors):
            for entered in self._entered:
                recorder = self._recorded(entered)
                states.append(recorder.entered)
                calls.append(recorder.calls)
        return states, calls

    def _recorded(self, entered: Entry) -> Recorder:
        """Run all but the layers, and learn how they are called, what they give back, and what stands behind them."""
        said, problem = "", None
        for as_tuple in (False, True) if self._tail is None else (self._tail.as_tuple,):
            try:
                recorder, result = self._ran(entered, Recorder(self._layers, as_tuple=as_tuple))
            except (
                IndexError,
                RuntimeError,
                TypeError,
                ValueError,
            ) as error:  # a state where a tuple should be, or the reverse
                problem = problem or error
                continue
            if recorder.untouched or self._adds(entered, recorder):
                self._tail = self._tail or recorder.tail(result.last_hidden_state)
                return recorder
            said = "states are changed between its layers"
        kind = self._shell.config.model_type
        raise ConversionError(
            f"The reference of model_type {kind} cannot be run layer by layer: {said or problem}."
        ) from problem

    def _ran(self, entered: Entry, recorder: Recorder) -> tuple[Recorder, Any]:
        with recorder.standing_in(self._body, self._parts.layers):
            return recorder, entered.run()

    def _adds(self, entered: Entry, recorder: Recorder) -> bool:
        """Tell whether all that is done with states between layers is to add something, the same to any; keep what it is."""
        zeros, _ = self._ran(entered, Recorder(self._layers, as_tuple=recorder.as_tuple, gives="zeros"))
        noise, _ = self._ran(entered, Recorder(self._layers, as_tuple=recorder.as_tuple, gives="noise"))
        return recorder.take_added(zeros, noise)

    @contextlib.contextmanager
    def _outside(self, tensors: Tensors | None) -> Iterator[None]:
        """Load for a while what stands around the layers: the embeddings, what makes further inputs of layers, the last norm."""
        import torch

        body, prefix, table = self._body, self._parts.prefix, self._shell.get_input_embeddings()
        kind, source, tables = getattr(torch, self._dtype), self._source(tensors), {}
        with contextlib.ExitStack() as stack:
            derive(body, body, prefix, self.frequencies, deep=False)
            for name, module in list(body.named_children()):
                if name == self._parts.layers:
                    continue
                plain = isinstance(module, torch.nn.Embedding) and hasattr(module, "scalar_embed_scale")
                if plain and module is not table:  # of Gemma's second table, which takes gigabytes, rows are read
                    tables[name] = module
                    setattr(body, name, lookup(source, f"{prefix}{name}.weight", _scale_of(module), kind))
                else:
                    stack.enter_context(self._loaded(module, f"{prefix}{name}.", tensors))
            try:
                yield
            finally:
                for name, module in tables.items():
                    setattr(body, name, module)

    @contextlib.contextmanager
    def _loaded(self, module: Any, prefix: str, tensors: Tensors | None = None) -> Iterator[None]:
        """Give a module its weights and buffers for a while."""
        import torch

        derive(self._body, module, prefix, self.frequencies)
        with loaded(module, prefix, self._source(tensors), getattr(torch, self._dtype)):
            yield

    def _source(self, tensors: Tensors | None) -> Tensors:
        """Return weights by the names of transformers' modules: the checkpoint's, or others."""
        given = tensors or self._given
        return lambda name: given(self._seen(name))


def _scale_of(module: Any) -> float:
    """Return what a table's rows are multiplied by, which transformers' class keeps beside the buffer of it."""
    return float(getattr(module, "scalar_embed_scale", 1.0))
