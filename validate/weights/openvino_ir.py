"""The weights of an OpenVINO IR, edgeconv's own or another tool's, in the checkpoint's names, shapes and row order.

The .bin stays mapped and one tensor is de-quantized at a time. Integers are multiplied in float32, where the graph, run as it
stands, would round the product to float16: what the artifact *means* is measured apart from what a device makes of it.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ...convert import encoders, families
from ...convert.checkpoint import Checkpoint
from ...convert.claims import unused
from ...convert.derived import AS_IS, Form
from ...convert.onnx.trace_source import is_conv1d
from ...convert.openvino import stream
from ...convert.program.reading import UnsupportedArchitecture
from ...core.errors import ArtifactError
from ...core.graph_file import read_graph
from ...core.manifest import MANIFEST_NAME, read_manifest
from ...quantize.integer import to_float32
from ...runtimes import irs
from .. import described
from . import equivalent, match
from .constant import StoredWeight
from .openvino_find import find

Array = npt.NDArray[Any]
_TABLE = "model.embed_tokens.weight"


@dataclass(frozen=True)
class Match:
    """A weight of the artifact and how it lies in relation to its tensor.

    Attributes:
        stored: the weight.
        how: "name" or "content".
        transposed: it is [columns, rows].
        row_order: int64 [rows]; row i of the artifact is row `row_order[i]` of the checkpoint. None: the same order.
        form: what the export made of the tensor: a function of its values, or a part of it.
        columns: float32 [cols] by which its columns were multiplied before they were rounded; None: by nothing.
        rows: float32 [rows], likewise.
        divided: the graph divides the input by `columns` again; without it, the weight before has the division.
        slack: share of an element by which it may be off besides, because factors are estimated, or were rounded.
        beside: float32 [rows, cols], which the graph adds to the weight; None: nothing.
    """

    stored: StoredWeight
    how: str
    transposed: bool = False
    row_order: Array | None = None
    form: Form = AS_IS
    columns: Array | None = None
    rows: Array | None = None
    divided: bool = False
    slack: float = 0.0
    beside: Array | None = None

    @property
    def in_order(self) -> bool:
        """True if its rows are the tensor's own, as they lie there, multiplied by nothing."""
        equivalent = self.row_order is not None or self.columns is not None or self.rows is not None
        return not (self.transposed or equivalent) and self.form == AS_IS

    def source_rows(self, tensor: Array, start: int, stop: int) -> Array:
        """Return the checkpoint's values of the artifact's rows [start, stop), float32, in the artifact's stored shape.

        They are multiplied as those were that the artifact holds.
        """
        shape = (stop - start, *self.stored.stored_shape[1:])
        tensor = self.form.cut(tensor)
        if self.transposed:
            rows = tensor[:, start:stop].T
        elif self.row_order is not None:
            rows = tensor[self.row_order[start:stop]]
        elif len(tensor) == self.stored.rows:
            rows = tensor[start:stop].reshape(stop - start, -1)  # not before: a part of a stack would be copied whole
        else:
            rows = tensor.reshape(self.stored.rows, -1)[start:stop]
        values = to_float32(rows)
        if self.columns is not None:
            values = values * self.columns
        if self.rows is not None:
            values = values * self.rows[start:stop, None]
        return self.form.apply(values.reshape(shape))

    def tensor(self, shape: tuple[int, ...]) -> Array:
        """Return the weight as the graph computes with it, float32, in the row order of the checkpoint.

        `shape` is the tensor's in the checkpoint, or that of the part of it that the weight holds.
        """
        values = self.stored.whole()
        if self.beside is not None:
            values = values + self.beside
        if self.divided:
            values = values / self.columns
        values = values.T if self.transposed else values.reshape(shape)
        if self.row_order is not None:
            ordered = np.empty_like(values)
            ordered[self.row_order] = values
            values = ordered
        return self.form.undo(values)


class WeightsByName:
    """The weights of an artifact's graphs by the checkpoint's names.

    Attributes:
        methods: NNCF's names of what moved the weights beyond rounding to nearest; mostly none.
        folder: the artifact.
        matched: tensor's name → the weights that hold it, mostly one.
        unmatched_artefact: weights of the graph that hold no tensor of the checkpoint (tables of frequencies, for one).
        unmatched_checkpoint: tensors that no weight of the graph holds. The export may have folded them away, as it does with
            norms of ones; it is for the caller to decide.
        frequencies: the rotary frequencies that it holds, float32 [n], where they are the config's rounded to float16; None:
            they are the config's (`checks.rotary`).
    """

    def __init__(
        self, folder: Path, checkpoint: Checkpoint, found: list[StoredWeight], orders: dict[str, Array]
    ) -> None:
        """Match what was found in the graphs; `orders` says which tensors' rows lie in another order."""
        self.folder = folder
        self._checkpoint = checkpoint
        self._orders = orders
        self.methods: tuple[str, ...] = ()
        self.matched: dict[str, tuple[Match, ...]] = {}
        self.frequencies: Array | None = None
        self.unmatched_artefact: list[StoredWeight] = []
        self._match(found)
        self.unmatched_checkpoint = self._left_over()

    def tensor(self, name: str) -> Array:
        """Return a tensor as the artifact holds it: float32, in the checkpoint's shape and row order.

        Raises:
            KeyError: the artifact does not hold it (`unmatched_checkpoint`).
        """
        shape = self._checkpoint.info(name).shape
        first = self.matched[name][0]
        if first.form.axis is None and not (first.form.turned or first.form.woven):
            return first.tensor(shape)
        whole = np.empty(shape, np.float32)
        for part in self.matched[name] if first.form.axis is not None else (first,):
            place = part.form.cut(whole)
            place[...] = part.tensor(place.shape)
        return whole

    def lookalike(self, name: str) -> str | None:
        """Return the name of another tensor whose values the artifact holds in the place of this one, if there is one."""
        others = sorted(self._checkpoint.names - {name})
        return match.by_content(self.matched[name][0].stored, others, self._checkpoint)

    def _match(self, weights: list[StoredWeight]) -> None:
        left = []
        # the values of a weight that is used twice → the tensor that they were found to hold
        known: dict[str, match.Held] = {}
        for stored in weights:
            held = None if stored.unreadable else match.by_name(stored, self._checkpoint)
            if held is None:
                left.append(stored)
            else:
                self._add(held, stored, "name")
                known[stored.place] = held
        for stored in left:
            missing = sorted(self._checkpoint.names - set(self.matched))
            held = match.nearest(stored, missing, self._checkpoint)
            if held is None and self._tied:  # some tools quantize the head apart from the table that it is
                held = match.nearest(stored, [_TABLE], self._checkpoint)
            if held is None and not stored.unreadable:
                held = known.get(stored.place)
            if held is None:
                self.unmatched_artefact.append(stored)
            else:
                self._add(held, stored, "content")
                known[stored.place] = held
        for name in [name for name, matches in self.matched.items() if not _is_whole(matches)]:
            self.unmatched_artefact += [one.stored for one in self.matched.pop(name)]

    def _add(self, held: match.Held, stored: StoredWeight, how: str) -> None:
        name, form = held
        if is_conv1d(
            self._checkpoint, name
        ):  # the shape of a square one does not tell that it lies the other way round
            stored.turned = not stored.turned
        shape = form.cut(np.broadcast_to(np.float32(0), self._checkpoint.info(name).shape)).shape
        made = Match(stored, how, match.is_transposed(stored, shape), self._orders.get(name), form)
        self.matched[name] = (*self.matched.get(name, ()), made)

    @property
    def _tied(self) -> bool:
        """True if the head is the table of embeddings, and the checkpoint holds it once."""
        return _TABLE in self._checkpoint.names and "lm_head.weight" not in self._checkpoint.names

    def _left_over(self) -> list[str]:
        names = self._checkpoint.names - set(self.matched)
        if self._checkpoint.config.get("tie_word_embeddings") and _TABLE in self.matched:
            names.discard("lm_head.weight")
        left = (n for n in names if not unused.is_unused(n, self._checkpoint.config))
        encoder = encoders.describe(self._checkpoint.config, self._checkpoint.names, self._checkpoint.sentence)
        patterns = encoder.unused if encoder else _unused(self._checkpoint)
        return sorted(n for n in left if not any(fnmatch.fnmatch(n, pattern) for pattern in patterns))


def _unused(checkpoint: Checkpoint) -> tuple[str, ...]:
    """Return patterns of tensors that no graph holds: the model never reads them, or config.json has their values (`fields`)."""
    seeing = described.vision(checkpoint)
    further = (*seeing.unused, *seeing.stated.values()) if seeing else ()
    return (*families.unused_tensors(checkpoint.model_type, checkpoint.names), *further)


class ArtifactWeights(WeightsByName):
    """The weights of an artifact's IRs; `model` is the graph that generates, whose constants are views of the mapped .bin."""

    def __init__(self, folder: Path, checkpoint: Checkpoint) -> None:
        """Open the IRs.

        Raises:
            ArtifactError: openvino cannot read one, or its .bin is missing or too short.
        """
        self._models = [read_graph(folder / name) for name in irs.names(folder)]
        self.model = self._models[0]
        moves = equivalent.find(self._models)
        found = [stored for model in self._models for stored in find(model)]
        found = [stored for stored in found if stored.values.get_name() not in moves.explained]
        super().__init__(folder, checkpoint, found, _row_orders(folder, checkpoint))
        self.methods = moves.methods
        if moves.around:
            self._undo(moves)

    def _undo(self, moves: equivalent.EquivalentTransforms) -> None:
        """Tell each weight what stands around it, and what its values were multiplied with."""
        names = {m.stored.values.get_name(): name for name, matches in self.matched.items() for m in matches}
        for place, around in moves.around.items():
            name = names.get(place)
            if name is None:
                continue
            if around.columns is not None:
                self._replace(name, columns=1 / around.columns, divided=True, slack=equivalent.ROUNDED)
            elif around.before in names and "awq" in moves.methods:
                self._undo_pair(name, names[around.before])
            if around.adapters:
                self._replace(name, beside=around.beside())

    def _undo_pair(self, name: str, before: str) -> None:
        sides = [(self.matched[one][0].stored, self._checkpoint.tensor(one)) for one in (name, before)]
        if (
            any(stored.shape != tensor.shape for stored, tensor in sides)
            or sides[0][0].shape[1] != sides[1][0].shape[0]
        ):
            return
        stored, tensor = sides[1]
        factors = equivalent.estimated(stored.whole(), to_float32(tensor))
        if factors is not None:
            slack = equivalent.slack(stored.shape[1])
            self._replace(name, columns=factors, slack=slack)
            self._replace(before, rows=1 / factors, slack=slack)

    def _replace(self, name: str, **changes: Any) -> None:
        first, *others = self.matched[name]
        self.matched[name] = (replace(first, **changes), *others)


def _row_orders(folder: Path, checkpoint: Checkpoint) -> dict[str, npt.NDArray[np.int64]]:
    if not (folder / MANIFEST_NAME).is_file() or read_manifest(folder).row_order != "rotate_half":
        return {}
    try:
        return stream.row_orders(families.decoder(checkpoint.config))
    except UnsupportedArchitecture as error:
        raise ArtifactError(
            f"{folder / MANIFEST_NAME} says that rows of q and k are permuted, but {error}.",
            "The manifest belongs to another model.",
        ) from error


def _is_whole(matches: Sequence[Match]) -> bool:
    """True if the weights hold all of a tensor: it is whole in the first, or all its parts are there."""
    first = matches[0].form
    if first.axis is None:
        return True
    alike = {one.form.part for one in matches if (one.form.axis, one.form.parts) == (first.axis, first.parts)}
    return len(alike) == first.parts and len(matches) == sum(one.form.axis is not None for one in matches)
