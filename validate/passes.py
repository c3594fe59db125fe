"""The torch passes of a validation: over the checkpoint's weights, and over the artifact's own. Kept where they can be."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ..core.progress import Progress
from . import cache, gelu_table, self_check, vision_reference
from .formats import Weights
from .head import Head
from .module_weights import checkpoint_tensors
from .multimodal.features import Features, Seen
from .probes import switch_of
from .reference import LayeredReference
from .rows import ROW
from .target import ValidationTarget
from .token_display import shown
from .vision_reference import Arithmetic

OWN = "Running torch on the artifact's own weights"


@dataclass(frozen=True)
class PassResult:
    """One torch pass: the head and the final hidden states, float32 [n, hidden], of each document.

    `peaks` are the largest activations of each layer (`peaks.watched`).
    """

    head: Head
    states: list[Any]
    peaks: list[float] = field(default_factory=list)


class TorchPasses:
    """Runs them layer by layer, one layer in memory at a time."""

    def __init__(self, pair: ValidationTarget, weights: Weights, tokenizer: Any, progress: Progress) -> None:
        self.pair, self._weights, self._progress = pair, weights, progress
        self.tokenizer = tokenizer
        self._source = checkpoint_tensors(pair.checkpoint)
        shares = self_check.require(pair.checkpoint.folder, progress)
        switch = switch_of(pair.checkpoint.config)  # what a row computes by its length must be what its documents do
        self._row = min(ROW, switch or ROW) if shares else 0

    def reference(self, documents: Sequence[Sequence[int]], dtype: str, label: str = "reference") -> PassResult:
        """Run the checkpoint's weights; the result is kept, and taken from the cache if it is there."""
        model = LayeredReference(self.pair.checkpoint.folder, self._source, dtype)
        name = cache.key(self.pair.weights_digest, documents, dtype, model.attention)
        kept = cache.get(name, self._progress)
        if kept is None:
            states = model.hidden_states(
                documents, self._progress, f"Running the {label}", watch=self._released, row=self._row
            )
            kept = states, model.peaks
            about = f"{self.pair.reference_name}, {dtype}, {len(documents)} documents"
            cache.put(name, *kept, about, self._progress)
        return PassResult(replace(model.head(), release=self._release_of(model.head_name)), *kept)

    def own(
        self,
        documents: Sequence[Sequence[int]],
        embeddings: Sequence[Any] | None = None,
        firsts: Sequence[int] | None = None,
    ) -> PassResult:
        """Run the weights that the artifact holds, de-quantized, in float32; the others as in `LayeredReference`."""
        model = LayeredReference(self.pair.checkpoint.folder, self._own, "float32")
        model.frequencies = getattr(self._weights, "frequencies", None)  # a GGUF holds none
        watch = self._looking_up if getattr(self._weights, "gelu_table", False) else self._released
        states = model.hidden_states(documents, self._progress, OWN, embeddings, watch, firsts=firsts, row=self._row)
        return PassResult(model.head(), states, model.peaks)

    def merged(self, documents: Sequence[Sequence[int]], embeddings: Sequence[Any], dtype: str) -> PassResult:
        """Run the checkpoint's weights on embeddings in which pictures stand; never kept."""
        model = LayeredReference(self.pair.checkpoint.folder, self._source, dtype)
        label = "Running the reference over the pictures"
        return PassResult(model.head(), model.hidden_states(documents, self._progress, label, embeddings))

    def embed(self, documents: Sequence[Sequence[int]], *, own: bool) -> list[Any]:
        """Look tokens up in the checkpoint's table, or in the artifact's own: float32 [n, hidden] each."""
        tensors = self._own if own else self._source
        return LayeredReference(self.pair.checkpoint.folder, tensors, "float32").embed(documents)

    def features(self, pictures: Sequence[Any], *, own: bool) -> list[Any]:
        """Run tower and adapter in float32, on the checkpoint's weights or the artifact's own."""
        tensors, label = (self._own, OWN) if own else (self._source, "Running the reference's tower")
        return vision_reference.features(
            self.pair.checkpoint.folder, tensors, pictures, dtype="float32", progress=self._progress, label=label
        )

    def see(
        self,
        prompts: Sequence[Mapping[str, Any]],
        *,
        own: bool,
        within: Callable[[Any], contextlib.AbstractContextManager[None]] | None = None,
        dtype: str = "float32",
    ) -> list[Features]:
        """Run the vision part of transformers' model on what its processor made of each prompt's pictures.

        Args:
            prompts: what it made.
            own: on the artifact's weights.
            within: as of `seeing.tower.features`.
            dtype: torch's name of the type.
        """
        label = OWN if own else f"Running the reference's vision part in {dtype}"
        return self._sighted(own=own, dtype=dtype).features(prompts, self._progress, label, within)

    def behind(self, documents: Sequence[Sequence[int]], pictures: Sequence[Seen], *, own: bool) -> PassResult:
        """Run the language model in float32 over documents with pictures; never kept."""
        model = self._sighted(own=own)
        label = OWN if own else "Running the reference over the pictures"
        return PassResult(model.head(), model.hidden_states(documents, self._progress, label, pictures=pictures))

    def entering(self, documents: Sequence[Sequence[int]], pictures: Sequence[Seen], *, own: bool) -> list[Any]:
        """Return what enters the language model's first layer: float32 [n, hidden] of each document."""
        import torch

        with torch.no_grad():
            states, _ = self._sighted(own=own).enter(documents, pictures=pictures)
        return [made[0].numpy() for made in states]

    def positions(self, ids: Sequence[int], arrays: Mapping[str, Any]) -> Any:
        """Return the positions that transformers' model gives a prompt's tokens, int64 [n] or [axes, n]."""
        return self._sighted(own=False).positions(ids, arrays)

    def _sighted(self, *, own: bool, dtype: str = "float32") -> LayeredReference:
        model = LayeredReference(self.pair.checkpoint.folder, self._own if own else self._source, dtype)
        model.frequencies = getattr(self._weights, "frequencies", None) if own else None
        return model

    def variants(
        self, pictures: Sequence[Any], wanted: Sequence[Arithmetic], *, own: bool, dtype: str = "float32"
    ) -> list[list[Any]]:
        """Run tower and adapter in several arithmetics: for each a list as `features` gives it."""
        tensors, label = (self._own, OWN) if own else (self._source, f"Running the reference's tower in {dtype}")
        folder = self.pair.checkpoint.folder
        return vision_reference.variants(
            folder, tensors, pictures, wanted, dtype=dtype, progress=self._progress, label=label
        )

    def text(self, ids: Sequence[int]) -> str:
        """Decode ids with the reference's tokenizer."""
        return shown(self.tokenizer, ids[0]) if len(ids) == 1 else str(self.tokenizer.decode(list(ids)))

    def _release_of(self, name: str) -> Callable[[], None]:
        """Return what drops the pages of one of the checkpoint's tensors."""
        checkpoint = self.pair.checkpoint
        shard, info = checkpoint.shard_of(name), checkpoint.info(name)
        return lambda: shard.release(info.start, info.end)

    @contextlib.contextmanager
    def _released(self, _module: Any, _prefix: str) -> Iterator[None]:
        """Keep one layer's pages in memory, not those of all that have passed."""
        yield
        self.pair.release()

    @contextlib.contextmanager
    def _looking_up(self, module: Any, prefix: str) -> Iterator[None]:
        """The same, with GELU as llama.cpp computes it."""
        with self._released(module, prefix), gelu_table.looking_up(module):
            yield

    def _own(self, name: str) -> Any:
        """Give a weight as the artifact holds it; one that it folded away, as the checkpoint does."""
        import torch

        if name in self._weights.matched:
            return torch.from_numpy(self._weights.tensor(name))
        return self._source(name)
