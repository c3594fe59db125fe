"""What llama.cpp computes inside: its graph is read while it runs, and the values of the residual sums with it.

llama.cpp calls back before and after each node of its graph (`ggml_backend_sched_eval_callback` in ggml-backend.h, `cb_eval` of
`llama_context_params`). The binding hands out neither, so the two pointers are written into its parameters, and tensors are read
by their C layout. Both are looked for by what must stand there (build b9190), and refused where they are elsewhere.
"""

from __future__ import annotations

import ctypes
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..core.errors import ArtifactError
from .inner import Array, Inner, Kind, Node, Places, find
from .llama_cpp import BATCH, LlamaCppRuntime
from .llama_cpp_binding import NAME

_CALLBACK = ctypes.CFUNCTYPE(ctypes.c_bool, ctypes.c_void_p, ctypes.c_bool, ctypes.c_void_p)
"""bool (*)(struct ggml_tensor * t, bool ask, void * user_data)."""
_F32 = 0
"""`enum ggml_type`."""
_KINDS: dict[int, Kind] = {2: "sum", 29: "product"}
"""`enum ggml_op`: GGML_OP_ADD, GGML_OP_MUL_MAT. Were they others, no sum or no head would be found, and that is refused."""
_TOKENS = "inp_tokens"
"""llama.cpp's name of its input (`llm_graph_context::build_inp_embd`)."""
_TENSOR = 336
"""Bytes of `struct ggml_tensor`."""
_BETWEEN = 8
"""Bytes from yarn_orig_ctx to cb_eval in `llama_context_params`; cb_eval_user_data and type_k follow."""


@dataclass(frozen=True)
class _Tensor:
    """A `struct ggml_tensor` as far as it is read here; pointers are numbers."""

    kind: int
    sizes: tuple[int, ...]
    strides: tuple[int, ...]
    op: int
    sources: tuple[int, ...]
    data: int
    name: str

    @classmethod
    def at(cls, pointer: int) -> _Tensor:
        raw = ctypes.string_at(pointer, _TENSOR)
        name = raw[256:320].partition(b"\0")[0].decode("utf-8", "replace")
        sources = tuple(source for source in struct.unpack_from("<10Q", raw, 152) if source)
        (kind,), (op,), (data,) = (struct.unpack_from(f, raw, at) for f, at in (("<i", 0), ("<i", 80), ("<Q", 248)))
        return cls(
            kind, struct.unpack_from("<4q", raw, 16), struct.unpack_from("<4Q", raw, 48), op, sources, data, name
        )

    def rows(self) -> Array:
        """Copy its values: float32 [n, width]. Raises ArtifactError if it is no such matrix in memory."""
        width, count = self.sizes[:2]
        if self.kind != _F32 or self.sizes[2:] != (1, 1) or self.strides[:2] != (4, 4 * width) or not self.data:
            raise ArtifactError(f"llama.cpp's tensor {self.name} is not a float32 matrix whose rows follow each other.")
        return np.frombuffer(ctypes.string_at(self.data, 4 * width * count), np.float32).reshape(count, width)


class InnerLlamaCpp(LlamaCppRuntime):
    """Implements `inner.InnerRuntime`."""

    def __init__(self, path: Path, layers: int) -> None:
        """Load reference precision. Raises ArtifactError."""
        super().__init__(path)
        self._layers = layers
        self._asked: list[int] = []
        self._graph: list[_Tensor] = []
        self._wanted: dict[int, Array | None] = {}
        self._problem: BaseException | None = None
        self._called = _CALLBACK(self._guarded)

    def layer_outputs(self, ids: Sequence[int]) -> Inner:
        """Run one text of at most BATCH tokens twice: to learn the graph, then to take its values."""
        if len(ids) > BATCH:
            raise ValueError(f"at most {BATCH} tokens")
        self._pass(ids, {})
        places = locate(self._graph, self._asked, self._layers)
        numbers = (places.embeddings, *places.sums, places.normed)
        logits, wanted = self._pass(ids, dict.fromkeys(numbers))
        embeddings, *sums, normed = (wanted[number] for number in numbers)
        return Inner(embeddings, tuple(sums), normed, logits)

    def _pass(self, ids: Sequence[int], wanted: dict[int, Array | None]) -> tuple[Array, dict[int, Any]]:
        self._graph, self._asked, self._wanted = [], [], wanted
        logits = np.concatenate(list(self.logits(ids)))
        if self._problem is not None:
            problem, self._problem = self._problem, None
            raise problem
        absent = [number for number, made in wanted.items() if made is None]
        if absent or not self._graph:
            raise ArtifactError(f"{NAME} did not show what it computes.", "Another build of llama.cpp may.")
        return logits, wanted

    def _guarded(self, pointer: int, ask: bool, _data: int | None) -> bool:
        """Answer llama.cpp, which calls through C: an exception must wait."""
        try:
            return self._show(pointer, ask)
        except BaseException as error:  # noqa: BLE001 - raised again when llama.cpp has returned
            self._problem = self._problem or error
            return not ask

    def _show(self, pointer: int, ask: bool) -> bool:
        """Take a node before it is computed, and say whether its values are wanted; or take these."""
        if ask:
            self._asked.append(pointer)
            self._graph.append(_Tensor.at(pointer))
            return len(self._graph) - 1 in self._wanted
        number = len(self._asked) - 1
        if self._asked[number] != pointer:
            raise ArtifactError(f"{NAME} computes its graph in another order than it asks.")
        self._wanted[number] = self._value(pointer, number)
        return True

    def _value(self, pointer: int, number: int) -> Array:
        """Return a node's values, just computed."""
        return _Tensor.at(pointer).rows().copy()

    def _prepare(self, parameters: Any) -> None:
        """Write the callback into the parameters."""
        place = _callback_of(parameters)
        ctypes.c_void_p.from_address(place).value = ctypes.cast(self._called, ctypes.c_void_p).value


def _callback_of(parameters: Any) -> int:
    """Return the address of cb_eval in the binding's parameters, an object that holds the C structure.

    Raises:
        ArtifactError: its neighbors do not stand where llama.h has them, or it is set.
    """
    size, start = type(parameters).__basicsize__, id(parameters)

    def place(name: str, other: int) -> list[int]:
        """Return the offsets of the words that change with a field."""
        before, kept = ctypes.string_at(start, size), getattr(parameters, name)
        setattr(parameters, name, other)
        after = ctypes.string_at(start, size)
        setattr(parameters, name, kept)
        return [at for at in range(0, size - 3, 4) if before[at : at + 4] != after[at : at + 4]]

    original, kind = place("yarn_orig_ctx", parameters.yarn_orig_ctx + 1), place("type_k", parameters.type_k ^ 1)
    if len(original) == len(kind) == 1:
        found = original[0] + _BETWEEN
        if kind[0] == found + 16 and ctypes.string_at(start + found, 16) == bytes(16):
            return start + found
    raise ArtifactError(
        f"This build of the binding of {NAME} has its parameters in another order, so that it does not show what it computes.",
        "pip install 'edgeconv[gguf]' at the version in constraints.txt.",
    )


def locate(graph: Sequence[_Tensor], pointers: Sequence[int], layers: int) -> Places:
    """Find the residual sums in the nodes of a graph, in llama.cpp's order. Raises ArtifactError."""
    numbers = {pointer: number for number, pointer in enumerate(pointers)}
    nodes = [
        Node(_KINDS.get(tensor.op, "other"), tuple(numbers[s] for s in tensor.sources if s in numbers))
        for tensor in graph
    ]
    start = next((n for n, tensor in enumerate(graph) if _reads_tokens(tensor, numbers)), None)
    if start is None:
        raise ArtifactError(f"{NAME} looks no tokens up in this model.", "Give a language model.")
    return find(nodes, start, len(nodes) - 1, layers)


def _reads_tokens(tensor: _Tensor, numbers: dict[int, int]) -> bool:
    return any(s not in numbers and _Tensor.at(s).name == _TOKENS for s in tensor.sources)
