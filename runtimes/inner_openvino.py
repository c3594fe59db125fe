"""What an IR computes inside: its residual sums are made outputs of the graph, in memory."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..core.errors import ArtifactError
from .inner import Inner, Kind, Node, find
from .openvino import OpenVINORuntime

_KINDS: dict[str, Kind] = {"Add": "sum", "MatMul": "product", "ShapeOf": "shape"}
_STARTS = ("input_ids", "inputs_embeds")


class InnerOpenVINO(OpenVINORuntime):
    """Implements `inner.InnerRuntime`."""

    def __init__(self, folder: Path, layers: int, device: str = "CPU") -> None:
        """Compile reference precision. Raises ArtifactError if the residual sums of so many layers are not found."""
        self._layers = layers
        self._shown: list[int] = []
        super().__init__(folder, device, change=self._show)

    def layer_outputs(self, ids: Sequence[int]) -> Inner:
        """Run one text."""
        logits = np.concatenate([made.astype(np.float32) for made in self.logits(ids)])
        found = self._decoder.outputs(self._shown)
        single = all(made.dtype == np.float32 for made in found)
        embeddings, *sums, normed = (made.astype(np.float32).reshape(len(ids), -1) for made in found)
        return Inner(embeddings, tuple(sums), normed, logits, single)

    def _show(self, model: Any, xml: Path) -> None:
        """Give the model further outputs behind its own."""
        count = len(model.outputs)
        model.add_outputs(shown(model, xml, self._layers))
        self._shown = list(range(count, len(model.outputs)))


def shown(model: Any, xml: Path, layers: int) -> list[Any]:
    """Return the outputs of nodes that are to be seen: embeddings, each sum, and what the head takes.

    Args:
        model: `openvino.Model`.
        xml: its file, for messages.
        layers: how many it has.

    Raises:
        ArtifactError: they are not found.
    """
    ops = model.get_ordered_ops()
    numbers = {op.get_name(): number for number, op in enumerate(ops)}
    nodes = [
        Node(
            _KINDS.get(op.get_type_name(), "other"),
            tuple(numbers[value.get_node().get_name()] for value in op.input_values()),
        )
        for op in ops
    ]
    starts = [port for port in model.inputs if port.get_names() & set(_STARTS)]
    ends = [port for port in model.outputs if "logits" in port.get_names()]
    if not starts or not ends:
        raise ArtifactError(f"{xml.name} makes no logits of {' or '.join(_STARTS)}.", "Give a whole language model.")
    end = ends[0].get_node().input_value(0).get_node()
    places = find(nodes, numbers[starts[0].get_node().get_name()], numbers[end.get_name()], layers)
    return [ops[number].output(0) for number in (places.embeddings, *places.sums, places.normed)]
