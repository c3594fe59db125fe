"""What a vision encoder is, whatever its kind: graphs in a row, from the pixels of a picture to the rows of its image tokens.

A family's vision part (`spec.VisionPart.describe`) reads config.json and gives a `Vision`. Its graphs (`Graph`) are written over
`Ops`, once for all formats: OpenVINO takes them parted as optimum-intel parts them, ONNX all in one. Between graphs stands
arithmetic on indices that no graph does (`Graph.feed`): optimum-intel and openvino_genai do the same outside.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ...core.errors import CheckpointError
from ...core.json_file import read_json
from .ops import Ops
from .reading import DAMAGED, Config, Reader
from .signature import Input, Output

if TYPE_CHECKING:
    from .decoder import Decoder

__all__ = ["Array", "Arrays", "Graph", "Input", "Output", "Rows", "Shapes", "Vision", "preprocessor", "token_id"]

Array = npt.NDArray[Any]
Arrays = Mapping[str, Array]
Shapes = dict[str, tuple[int, ...]]
Write = Callable[[Ops[Any], Mapping[str, Any]], Sequence[Any]]
PIXELS = "pixel_values"
VISION_EMBEDDINGS, LAST_HIDDEN_STATE = "vision_embeddings", "last_hidden_state"
"""optimum-intel's names of an encoder's first graph, and of its output."""
PREPROCESSORS = ("preprocessor_config.json", "processor_config.json")
"""Files that say how pictures are prepared; transformers 5 puts all of it into the second."""


@dataclass(frozen=True)
class Graph:
    """A part of an encoder that is one graph.

    Attributes:
        name: as optimum-intel calls it: "vision_embeddings", "vision_embeddings_merger" …
        inputs: in the order in which the graph has them.
        outputs: likewise.
        tensors: name and shape of every tensor that it holds, in the order in which it reads them.
        write: (ops, input's name → value) → the outputs.
        feed: (what the processor makes of a picture, outputs of the graphs before) → its inputs; None: they are named as what
            the processor makes. Outputs go by the names of graph and output, "vision_embeddings.last_hidden_state".
    """

    name: str
    inputs: tuple[Input, ...]
    outputs: tuple[Output, ...]
    tensors: Shapes
    write: Write
    feed: Callable[[Arrays, Arrays], Arrays] | None = None

    def fed(self, made: Arrays, before: Arrays) -> dict[str, Array]:
        """Return the inputs for a picture, in the graph's types.

        Args:
            made: what the processor makes of the picture: pixel_values and, where the family has it, image_grid_thw and so on.
            before: outputs of the graphs before, as `feed` takes them.
        """
        found = made if self.feed is None else self.feed(made, before)
        return {one.name: _shaped(np.ascontiguousarray(found[one.name], one.kind), one.shape) for one in self.inputs}


Run = Callable[[Graph, dict[str, Array]], Sequence[Array]]


def _shaped(array: Array, shape: tuple[int, ...]) -> Array:
    """Join an array's first dimensions, of which processors make one for a batch of prompts, into one."""
    return array.reshape(-1, *array.shape[1 - len(shape) :]) if array.ndim > len(shape) else array


@dataclass(frozen=True)
class Rows:
    """What an encoder makes of a picture.

    Attributes:
        rows: float32 [image tokens, hidden], which take the placeholders' places.
        deep: float32 [layers, image tokens, hidden], added to what the language model's first layers give there (DeepStack);
            None: the family has none.
    """

    rows: Array
    deep: Array | None = None


class Vision(ABC):
    """The vision encoder and projector of a checkpoint."""

    family: str
    """The `model_type` of such a vision-language model."""
    out_size: int
    """Width of the language model."""
    placeholder: int
    """The token whose places the rows take."""
    assumed: tuple[str, ...] = ()
    """Values that config.json leaves out, as sentences."""

    @property
    def kept(self) -> frozenset[str]:
        """Matrices that nothing compresses: those that are added, not multiplied by, and the like."""
        return frozenset()

    @property
    def image_tokens(self) -> int | None:
        """Rows of a picture; None: they depend on its size."""
        return None

    @property
    def picture_side(self) -> int | None:
        """Side of the square that a picture is made to, in pixels; None: its size varies."""
        return None

    @abstractmethod
    def graphs(self) -> tuple[Graph, ...]:
        """Return the graphs in their order, as optimum-intel parts them; the last one's first output is the rows."""

    @abstractmethod
    def whole(self) -> Graph:
        """Return the encoder as one graph, which takes what the processor makes of a picture."""

    def tensors(self) -> Shapes:
        """Return name and shape of every tensor that is used."""
        return {name: shape for graph in self.graphs() for name, shape in graph.tensors.items()}

    @property
    def unused(self) -> tuple[str, ...]:
        """Patterns of tensors that a checkpoint may hold and the encoder never reads."""
        return ()

    @property
    def stated(self) -> Mapping[str, str]:
        """Fields of an artifact's config.json that hold values of a tensor → its name: what stands between rows, in no graph."""
        return {}

    def check_files(self, folder: Path) -> list[str]:
        """Check that the checkpoint's small files fit this encoder.

        Returns:
            Sentences for the plan.

        Raises:
            CheckpointError: one is missing, or belongs to another model.
        """
        if not any((folder / name).is_file() for name in PREPROCESSORS):
            raise CheckpointError(
                f"{folder.name} has no {PREPROCESSORS[0]}, which says how pictures are prepared.",
                "Add the checkpoint's file.",
            )
        return []

    def check_genai(self, folder: Path) -> list[str] | None:
        """Check that openvino_genai takes the artifact for another model that it knows, by some files of its own.

        Returns:
            Sentences for the plan; None: there is no such layout of this family.

        Raises:
            CheckpointError: the pipeline would do otherwise than the checkpoint's own processor.
        """
        return None

    def genai_files(self, folder: Path, config: dict[str, Any]) -> dict[str, dict[str, Any]]:
        """Return the files that are otherwise in that layout, parsed, by name; `config` is the artifact's config.json."""
        return {}

    def files(self, folder: Path) -> dict[str, dict[str, Any]]:
        """Return an artifact's small files that are not the checkpoint's own, parsed, by name.

        The others are copied as they are; config.json loses what points to code.
        """
        return {}

    def rows(self, outputs: Sequence[Array], made: Arrays) -> Rows:
        """Return a picture's rows, in the order of the placeholders.

        Args:
            outputs: of the last graph, or of the whole.
            made: what the processor makes of the picture.
        """
        first, *deep = outputs
        return Rows(first.reshape(-1, self.out_size), deep[0] if deep else None)

    def see(self, made: Arrays, run: Run) -> Rows:
        """Run the graphs one after the other.

        Args:
            made: what the processor makes of a picture.
            run: (graph, its inputs by name) → its outputs in their order.
        """
        before: dict[str, Array] = {}
        outputs: Sequence[Array] = ()
        for graph in self.graphs():
            outputs = run(graph, graph.fed(made, before))
            before |= {f"{graph.name}.{one.name}": value for one, value in zip(graph.outputs, outputs, strict=True)}
        return self.rows(outputs, made)

    def positions(self, ids: Sequence[int], pictures: Sequence[Arrays]) -> Array:
        """Return the positions of a prompt's tokens, int64 [n], or [axes, n] where the family has several (M-RoPE).

        Args:
            ids: with a placeholder for each row.
            pictures: what the processor made of each picture, in the order of the prompt.
        """
        return np.arange(len(ids), dtype=np.int64)

    def language_inputs(self, ids: Sequence[int]) -> dict[str, Array]:
        """Return what the language model takes beside embeddings, mask and positions, each [n]: token_type_ids and the like."""
        return {}


def preprocessor(folder: Path) -> dict[str, Any]:
    """Return what a checkpoint's files say of how pictures are prepared; empty if they say nothing.

    The second, of transformers 5, holds the first one's fields under "image_processor"; it comes first, as in transformers.

    Raises:
        CheckpointError: a file is not a JSON object.
    """
    found: dict[str, Any] = {}
    for name in PREPROCESSORS:
        if (folder / name).is_file():
            stated = read_json(folder / name)
            inner = stated.get("image_processor")
            found |= {**stated, **(inner if isinstance(inner, dict) else {})}
    return found


def token_id(config: Config, key: str, decoder: Decoder) -> int:
    """Read the id of a token from a config. Raises CheckpointError if it is none of the language model's."""
    value = Reader(config, {}).get(key)
    if type(value) is not int or not 0 <= value < decoder.vocab_size:
        raise CheckpointError(f"config.json: {key} is {value!r}, not an id of {decoder.vocab_size} tokens.", DAMAGED)
    return value
