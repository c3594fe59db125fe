"""A calibration text on its way into a graph: what its inputs are, and where NNCF's statistics of it are kept.

The graph is that of the engine, in memory, over the checkpoint's own bytes: no full-precision IR is written for it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import Any

import numpy as np
import numpy.typing as npt

from ...core.cache_folder import part
from ...quantize.nncf_call import Samples

Array = npt.NDArray[Any]
STATISTICS = "statistics"
"""Folder of the cache."""
_VERSIONS = ("nncf", "openvino", "optimum-intel", "transformers")
"""A graph's node names, by which NNCF keeps its statistics, follow from these."""


@dataclass(frozen=True)
class Calibration:
    """What a compression measures on.

    Attributes:
        name: of the text, without its folder.
        digest: SHA-256 of its content.
        documents: token ids of each sample.
        pictures: number of a sample → what is seen in it, for a vision-language model.
        weights: SHA-256 of the checkpoint: of its config and its shards.
        embed: for a graph that begins at the embeddings: number of the sample → float32 [n, hidden]; None: it takes ids.
    """

    name: str
    digest: str
    documents: Sequence[Sequence[int]]
    pictures: Mapping[int, Any] = field(default_factory=dict)
    weights: str = ""
    embed: Callable[[int], Array] | None = field(default=None, compare=False)

    def samples(self, model: Any, graph: str) -> Samples:
        """Return the inputs for a graph (`openvino.Model`), and the place of its statistics.

        Args:
            model: stateful; its inputs have the names of a decoder's.
            graph: what decides on the graph beside checkpoint and versions: engine, order of rows, name of the IR.
        """
        names = {name for value in model.inputs for name in value.get_names()}
        inputs = [self._inputs(number, names) for number in range(len(self.documents))]
        return Samples(inputs, part(STATISTICS) / self.key(graph))

    def key(self, graph: str) -> str:
        """Name the statistics of this text in a graph of this checkpoint."""
        from ... import __version__

        content = {
            "weights": self.weights,
            "documents": [list(map(int, ids)) for ids in self.documents],
            "text": self.digest if self.embed else "",  # its pictures are in no token
            "graph": graph,
            "versions": {"edgeconv": __version__} | {name: version(name) for name in _VERSIONS},
        }
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:32]

    def _inputs(self, number: int, names: set[str]) -> dict[str, Array]:
        ids = np.asarray(self.documents[number], np.int64)[None]
        every: dict[str, Array] = {"input_ids": ids}
        if self.embed:
            every["inputs_embeds"] = self.embed(number)[None]
        every |= {
            "attention_mask": np.ones_like(ids),
            "position_ids": np.arange(ids.shape[1], dtype=np.int64)[None],
            "beam_idx": np.zeros(1, np.int32),
        }
        return {name: value for name, value in every.items() if name in names}


@dataclass(frozen=True)
class Entry:
    """Statistics that are kept: of one text in one graph, in bytes, at so many inputs of layers."""

    key: str
    inputs: int
    size: int


def entries() -> list[Entry]:
    """List them."""
    found = []
    for place in sorted(path for path in part(STATISTICS).glob("[0-9a-f]*") if path.is_dir()):
        files = list(place.iterdir())
        inputs = sum(file.name.startswith("WCTensorStatistic") for file in files)
        found.append(Entry(place.name, inputs, sum(file.stat().st_size for file in files)))
    return found
