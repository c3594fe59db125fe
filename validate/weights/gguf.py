"""The weights of a GGUF, edgeconv's own or another tool's, in the checkpoint's names, shapes and row order.

Tensors are matched by their names in llama.cpp, through the description of the checkpoint's family. What has no counterpart (q, k
and v in one, for instance) stays unmatched.
"""

from __future__ import annotations

import fnmatch
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ...convert import families
from ...convert.checkpoint import Checkpoint
from ...convert.claims import unused
from ...convert.derived import AS_IS, Form
from ...convert.gguf.describe import of_checkpoint
from ...convert.gguf.encode import to_neighbors
from ...convert.gguf.model import Model, Tensor
from ...convert.gguf.read import GgufFile, TensorInfo
from ...convert.program.piece import WHOLE
from ...core.dtypes import element_of
from ...core.progress import Task
from ...quantize.ggml.types import TYPES
from ...quantize.integer import to_float32
from .fit import Fit, Sums
from .gguf_allowed import error_bound
from .match import stacked

Array = npt.NDArray[Any]
BLOCK = 1 << 20
"""Elements that are compared at a time."""


@dataclass(frozen=True)
class GgufMatch:
    """A tensor of the file and what it should be made of.

    `source` is the tensor's name in the checkpoint, `form` the part of it that is meant.
    """

    info: TensorInfo
    tensor: Tensor
    source: str
    form: Form = AS_IS

    def ranges(self) -> list[tuple[int, int]]:
        """Cut the rows into ranges of about BLOCK elements, of whole heads where their rows are reordered."""
        unit = self.tensor.head_dim or 1
        step = max(1, BLOCK // max(1, self.info.cols) // unit) * unit
        if len(self.info.shape) == 1:
            return [(0, 1)]
        return [(start, min(start + step, self.info.rows)) for start in range(0, self.info.rows, step)]

    def source_rows(self, rows: Array, first: int) -> Array:
        """Return rows of the checkpoint, from number `first` on, as the file should hold them, float32 [n, cols]."""
        values = to_float32(rows).reshape(-1, self.info.cols)
        if self.tensor.head_dim:
            values = to_neighbors(values, self.tensor.head_dim, self._cols)
        values = self.tensor.held.apply(values, first)
        return values + np.float32(self.tensor.plus) if self.tensor.plus else values

    def checkpoint_form(self, values: Array) -> Array:
        """Undo `source_rows` for the whole tensor."""
        values = self.tensor.held.undo(values)
        if self.tensor.head_dim:
            heads = values.reshape(-1, self.tensor.head_dim // 2, 2, self._cols)
            values = heads.swapaxes(1, 2)
        values = np.ascontiguousarray(values, np.float32)
        values = values.reshape(self.tensor.shape) if self.form == AS_IS else values
        return values - np.float32(self.tensor.plus) if self.tensor.plus else values

    @property
    def _cols(self) -> int:
        """Elements that move together when rows are reordered; of a vector, one."""
        return 1 if len(self.info.shape) == 1 else self.info.cols


class Half:
    """What a GGUF holds, whichever half of a model that is.

    Attributes:
        file: the GGUF.
        matched: tensor's name → the tensors of the file that hold it, mostly one.
        misshapen: sentences on tensors whose shape is not that of the checkpoint's.
        unmatched_artefact: tensors of the file that hold none of the checkpoint's.
        unmatched_checkpoint: tensors that the file lacks.
    """

    def __init__(self, file: GgufFile, checkpoint: Checkpoint) -> None:
        self.file = file
        self._checkpoint = checkpoint
        self.matched: dict[str, tuple[GgufMatch, ...]] = {}
        self.misshapen: list[str] = []
        self.unmatched_artefact: list[str] = []
        self.unmatched_checkpoint: list[str] = []
        self._weighted = any(key.startswith("quantize.imatrix.") for key in file.keys)

    def tensor(self, name: str) -> Array:
        """Return a tensor as the file holds it: float32, in the checkpoint's shape and row order. Raises KeyError."""
        match, *others = self.matched[name]
        if match.tensor.piece != WHOLE:
            return self._of_pieces(name)
        if match.tensor.held.part:
            joined = np.full(self._checkpoint.info(name).shape, np.nan, np.float32)
            for part in (match, *others):
                part.tensor.held.put(self.file.dequantized(part.info.name), joined)
            return joined
        if match.form == AS_IS:
            held = match.checkpoint_form(self.file.dequantized(match.info.name))
            return held.reshape(self._checkpoint.info(name).shape)
        whole = np.empty(self._checkpoint.info(name).shape, np.float32)
        for part in (match, *others):
            place = part.form.cut(whole)
            place[...] = part.checkpoint_form(self.file.dequantized(part.info.name)).reshape(place.shape)
        return whole

    def _of_pieces(self, name: str) -> Array:
        """Put a tensor together; what the file lacks of it is NaN."""
        whole = np.full(self._checkpoint.info(name).shape, np.nan, np.float32)
        for match in self.matched[name]:
            match.tensor.piece.put(self.file.dequantized(match.info.name) - np.float32(match.tensor.plus), whole)
        return whole

    def fit(self, name: str, match: GgufMatch, task: Task) -> Fit:
        """Compare one tensor of the file with its source.

        Raises:
            ArtifactError: its type cannot be decoded.
        """
        info, stored = match.info, self._checkpoint.info(name)
        whole = match.form.cut(self._checkpoint.tensor(name))
        if not match.tensor.held.part and match.tensor.piece == WHOLE:
            whole = whole.reshape(info.rows, info.cols)
        changed = match.tensor.plus or match.tensor.held.changed
        exact = info.type == element_of(stored.dtype) and not changed
        data, sums = self.file.data(info.name), Sums()
        for start, stop in match.ranges():
            source = match.source_rows(_rows(match, whole, start, stop), start)
            bound = error_bound(info.type, data[start:stop], source, exact=exact, weighted=self._weighted)
            with np.errstate(invalid="ignore", over="ignore"):  # what is not finite is counted
                held = np.require(self.file.dequantized(info.name, start, stop), requirements="W")
            sums.add(source, held, np.full(1, np.inf, np.float32) if bound is None else bound)
            task.advance((stored.end - stored.start) * (stop - start) // max(info.rows, 1))
        self.file.release(info.name)
        return sums.fit(name, info.type, info.rows)


def _rows(match: GgufMatch, whole: Array, start: int, stop: int) -> Array:
    piece = match.tensor.piece
    if piece != WHOLE:
        return piece.rows(whole, start, stop, match.info.cols)
    return match.tensor.held.cut(whole, start, stop)


class GgufWeights(Half):
    """The weights of a language model by the checkpoint's names.

    Attributes:
        model: what the checkpoint is in llama.cpp's terms.
        constants: tensors that the config implies, by their names in the file, as they should be.
        gelu_table: what runs them looks GELU up in a table of float16 (`gelu_table`).
    """

    gelu_table = True

    def __init__(self, file: GgufFile, checkpoint: Checkpoint) -> None:
        """Match.

        Raises:
            CheckpointError: llama.cpp has no such architecture, or cannot run what the config says.
        """
        super().__init__(file, checkpoint)
        self.model: Model = of_checkpoint(checkpoint)
        self.constants = {tensor.name: tensor for tensor in self.model.tensors if tensor.source is None}
        family = families.find(checkpoint.model_type)
        joined = family.joined if family else ()
        self._joined = {name: checkpoint.stacks[name] for name in joined if name in checkpoint.stacks}
        self._match()
        foreign = set(file.tensors) - {m.info.name for matches in self.matched.values() for m in matches}
        self.unmatched_artefact = [name for name in file.tensors if name in foreign - set(self.constants)]
        unread = (*self.model.skipped_tensors, *(["lm_head.weight"] if self.model.decoder.tied else []))
        held = set(self.matched) | {
            part for name, one in self._joined.items() if name in self.matched for part in one.names
        }
        left = {n for n in checkpoint.names - held if not unused.is_unused(n, checkpoint.config)}
        self.unmatched_checkpoint = sorted(n for n in left if not any(fnmatch.fnmatch(n, p) for p in unread))

    def tensor(self, name: str) -> Array:
        """Return a tensor as `Half.tensor` does; of several that the file has as one, its own."""
        for whole, stack in self._joined.items():
            if whole in self.matched and name in (parts := list(stack.names)):
                found: Array = super().tensor(whole)[parts.index(name)]
                return found
        return super().tensor(name)

    def _match(self) -> None:
        for tensor in self.model.tensors:
            if not tensor.source or tensor.name not in self.file.tensors:
                continue
            part = stacked(tensor.source, self._checkpoint)
            if part:
                self._add(part[0], tensor, part[1])
            elif tensor.source in self._checkpoint.names or tensor.source in self._joined:
                self._add(tensor.source, tensor)
        written = any(tensor.name == "output.weight" for tensor in self.model.tensors)
        if self.model.decoder.tied and "output.weight" in self.file.tensors and not written:
            # llama.cpp then takes it and not the embedding, so it has to be the same
            embedding = next(t for t in self.model.tensors if t.name == "token_embd.weight")
            self._add("model.embed_tokens.weight", Tensor("output.weight", embedding.shape, embedding.source))

    def _add(self, source: str, tensor: Tensor, form: Form = AS_IS) -> None:
        info = self.file.info(tensor.name)
        shape = self._checkpoint.info(source).shape
        cut = form.cut(np.broadcast_to(np.int8(0), shape)).shape
        lies = tensor.held.shape(cut)
        wanted = lies if tensor.held.lies else tuple(n for n in lies if n != 1 or len(lies) == len(tensor.shape))
        if info.shape == tensor.shape == wanted and (tensor.held.part or math.prod(wanted) == math.prod(cut)):
            self.matched[source] = (*self.matched.get(source, ()), GgufMatch(info, tensor, source, form))
        else:
            self.misshapen.append(
                f"{tensor.name} is {list(info.shape)}, {source} {list(cut)}, by the config {list(tensor.shape)}."
            )


def bits(kind: str) -> int:
    """Whole bits of a weight of a type, scales left out: 4 for q4_k and iq4_nl, 8 for q8_0, 16 for bf16."""
    if kind in TYPES:
        return int(TYPES[kind].bytes * 8 / TYPES[kind].block)
    from ...convert.gguf.storage import find

    return int(find(kind).bytes * 8 / find(kind).block)
