"""The reference's way through the layers, kept: what enters each of them, and the final states.

A part whose first layer is i then costs the layers i … end only, half a pass on average.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from ...convert.checkpoint import Checkpoint
from ...core.progress import Progress
from ...validate.checks.logits import heads_apart
from ...validate.module_weights import Tensors, checkpoint_tensors
from ...validate.reference import LayeredReference
from ...validate.scores import Scores
from .codec import Codec


class Path:
    """A model, some documents, and the reference's activations on them.

    Attributes:
        model: runs it layer by layer in float32.
        documents: token ids.
        entering: [layer][document]: torch [1, n, hidden], what enters each layer.
        leaving: the same of what leaves the last layer.
        calls: what each layer is called with.
        final: float32 [n, hidden] of each document, behind the last norm.
    """

    def __init__(self, checkpoint: Checkpoint, documents: Sequence[Sequence[int]], progress: Progress) -> None:
        """Run the reference once; memory is that of the hidden states times the layers.

        Raises:
            ConversionError: transformers has no decoder of that kind.
        """
        import torch

        self.checkpoint = checkpoint
        self.documents = documents
        self._source = checkpoint_tensors(checkpoint)
        self.model = LayeredReference(checkpoint.folder, self._source)
        self.entering: list[list[Any]] = []
        self.tokens = sum(map(len, documents))
        task = progress.task("Running the reference", (self.model.depth + 1) * self.tokens)
        with torch.no_grad():
            states, self.calls = self.model.enter(documents)
            for index in range(self.model.depth):
                self.entering.append(states)
                states = self._through(index, states, None, task.advance)
            self.leaving = states
            self.final = self.model.leave(states)
        task.finish()
        self.head = self.model.head()

    def compressed(self, names: Iterable[str], codec: Codec) -> Tensors:
        """As `compressed`, of this checkpoint."""
        return compressed(self.checkpoint, names, codec)

    def scores(self, first: int, tensors: Tensors, done: Callable[[int], None]) -> list[Scores]:
        """Score the model with other weights against the reference.

        Args:
            first: the first layer whose weights differ; -1: the embeddings, `model.depth`: the head alone.
            tensors: the weights.
            done: reports tokens times layers, the head counted as one.
        """
        import torch

        with torch.no_grad():
            if first >= self.model.depth:
                final = self.final
            else:
                states = self.entering[first] if first >= 0 else self.model.enter(self.documents, tensors=tensors)[0]
                for index in range(max(first, 0), self.model.depth):
                    states = self._through(index, states, tensors, done)
                final = self.model.leave(states)
        head = self.model.head(tensors)
        made = heads_apart((self.head, self.final), (head, final), self.documents)
        done(self.tokens)
        return made

    def _through(
        self, index: int, states: list[Any], tensors: Tensors | None, done: Callable[[int], None]
    ) -> list[Any]:
        made = []
        with self.model.layer(index, self.calls, tensors) as layer:
            for d, entering in enumerate(states):
                made.append(layer.run(d, entering))
                done(len(self.documents[d]))
        return made


def compressed(checkpoint: Checkpoint, names: Iterable[str], codec: Codec) -> Tensors:
    """Return a source of weights in which those are as an artifact would hold them, and the others as they are."""
    import torch

    source, chosen = checkpoint_tensors(checkpoint), set(names)

    def get(name: str) -> Any:
        if name not in chosen:
            return source(name)
        weights = checkpoint.tensor(name)
        return torch.from_numpy(codec.fitted(weights.shape[1]).held(weights))

    return get
