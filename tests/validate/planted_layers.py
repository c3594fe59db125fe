"""Faults planted into one layer: of a graph, of llama.cpp as it runs, or of the checkpoint that an artifact is held against."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any

import numpy as np

from edgeconv.runtimes.inner_llama_cpp import InnerLlamaCpp

from .planted_graphs import Graph, Onnx

Tensors = dict[str, Any]
Place = tuple[int | None, str]
"""A layer, or None, and the name of an operation."""


def wrong_theta(layer: int) -> Callable[[Graph], None]:
    """Turn queries and keys of one layer by half the angles."""

    def plant(g: Graph) -> None:
        for kind in ("Cos", "Sin"):
            (turned,) = g.of(kind)
            readers = g.readers(turned)
            each = len(readers) // g.layers
            assert each
            made = g.halved(turned, kind)
            for reader in readers[layer * each : (layer + 1) * each]:
                g.point(reader, made)

    return plant


def wrong_activation(layer: int) -> Callable[[Graph], None]:
    """Let the gate of one layer pass another curve."""

    def plant(g: Graph) -> None:
        found = g.of("Sigmoid" if isinstance(g, Onnx) else "Swish")
        assert len(found) == g.layers
        g.curve(found[layer])

    return plant


def exchanged_heads(layer: int) -> Callable[[Graph], None]:
    """Let one layer's heads answer in another order."""

    def plant(g: Graph) -> None:
        found = g.of("Softmax" if isinstance(g, Onnx) else "ScaledDotProductAttention")
        assert len(found) == g.layers
        g.reverse(found[layer], axis=1)

    return plant


class Faulty(InnerLlamaCpp):
    """llama.cpp with a fault in one operation: it computes on with what the fault leaves of the sum."""

    fault = -1
    """Number of the value that is spoilt: 0 the embeddings, then each layer's two sums, then the final norm."""

    def _value(self, pointer: int, number: int) -> Any:
        rows = super()._value(pointer, number)
        if sorted(self._wanted).index(number) != self.fault:
            return rows
        spoilt = np.ascontiguousarray(rows * np.float32(1.25))
        ctypes.memmove(self._graph[number].data or 0, spoilt.ctypes.data, spoilt.nbytes)
        return spoilt


# Of the checkpoint: a sound artifact beside it is one with that fault in its weights.


def _scaled(name: str) -> Callable[[Tensors], None]:
    def change(tensors: Tensors) -> None:
        tensors[name] = tensors[name] * 1.5

    return change


def _rolled(name: str, rows: int = 1) -> Callable[[Tensors], None]:
    def change(tensors: Tensors) -> None:
        tensors[name] = tensors[name].roll(rows, 0)

    return change


HEAD_DIM = 16
WEIGHTS: dict[str, tuple[Callable[[Tensors], None], Place]] = {
    "embedding": (_rolled("model.embed_tokens.weight"), (None, "embeddings")),
    "heads": (_rolled("model.layers.2.self_attn.q_proj.weight", HEAD_DIM), (2, "attention")),
    "norm before attention": (_scaled("model.layers.3.input_layernorm.weight"), (3, "attention")),
    "norm before the MLP": (_scaled("model.layers.1.post_attention_layernorm.weight"), (1, "MLP")),
    "projection": (_rolled("model.layers.0.mlp.down_proj.weight"), (0, "MLP")),
    "final norm": (_scaled("model.norm.weight"), (None, "final norm")),
    "head": (_rolled("lm_head.weight"), (None, "head")),
}
GRAPHS: dict[str, tuple[Callable[[Graph], None], Place]] = {
    "theta": (wrong_theta(3), (3, "attention")),
    "heads": (exchanged_heads(2), (2, "attention")),
    "activation": (wrong_activation(1), (1, "MLP")),
}
