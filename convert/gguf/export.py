"""From a checkpoint to GGUF files: one pass over the weights, no 16-bit file between.

prepare     config, tokenizer and headers → what is to be written, to the byte
Prepared.size, .tensors, .notes
export      weights → files and their digests
"""

from __future__ import annotations

import ctypes
import math
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ...core.dtypes import BY_STORED, NAMED
from ...core.errors import CheckpointError, UsageError
from ...core.manifest import FileDigest, TensorEntry
from ...core.paths import model_name
from ...core.progress import Progress
from ...quantize.ggml.choose import engine_for
from .. import alternatives
from ..alternatives import InexpressibleError
from ..checkpoint import Checkpoint
from ..program.decoder import Decoder
from ..program.task import POOLING_TYPES
from ..tensor_accounting import check_coverage
from . import dense, tokenizer
from .describe import describe_as_claimed
from .header import Keys, string, u32
from .layout import Layout, lay_out
from .metadata import Origin, general
from .model import Model
from .recipe import FILE_TYPES, Recipe
from .vocabulary import Vocabulary
from .write import write

_PHI3_TOKENS = {"</s>", "<unk>", "<s>", "<|endoftext|>"}
"""Tokens that llama.cpp looks up in a vocabulary whose markers swallow white space; it does not load one without them."""
Importance = Mapping[str, npt.NDArray[Any]]
"""Importance matrix: GGUF name of a tensor → float32 [cols], the mean square of each input."""


@dataclass(frozen=True)
class Prepared:
    """All that will be written, known before a weight is read.

    Attributes:
        model: the description.
        layout: files, types, offsets.
        assumed: values that config.json leaves out, as sentences.
        notes: where llama.cpp departs from the checkpoint, and what had to give way.
    """

    model: Model
    layout: Layout
    assumed: list[str]
    notes: list[str]

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return self.layout.size


@dataclass(frozen=True)
class Exported:
    """The result: `tensors` in the order of the files, `digests` of the files by name."""

    tensors: list[TensorEntry]
    digests: dict[str, FileDigest]


def prepare(
    checkpoint: Checkpoint,
    recipe: Recipe,
    file_name: str,
    *,
    origin: Origin | None = None,
    importance: Importance | None = None,
    pre: str | None = None,
    split_max_size: int = 0,
    keys: Keys | None = None,
) -> Prepared:
    """Decide everything from config, tokenizer and headers.

    Args:
        checkpoint: of which the headers are enough.
        recipe: types, made by `recipe.recipe`.
        file_name: of the result, ending in .gguf.
        origin: where the checkpoint comes from; None: a local folder.
        importance: an importance matrix; its names alone matter here.
        pre: name of the pre-tokenizer in llama.cpp, if it cannot be found out.
        split_max_size: bytes of tensors that a file may hold; 0: one file.
        keys: further key-value pairs, for instance on the importance matrix.

    Raises:
        CheckpointError: an architecture or tokenizer that cannot be written, or tensors that do not fit the config.
        UsageError: options that cannot work, or a type that this installation cannot write.
    """
    if not file_name.endswith(".gguf"):
        raise UsageError(
            f"{file_name} does not end in .gguf.", "llama.cpp finds the parts of a split file by that ending."
        )
    with alternatives.named("gguf", checkpoint.config, checkpoint.names, checkpoint.sentence):
        model, said = describe_as_claimed(checkpoint.config, checkpoint.names, checkpoint.sentence)
    model = dense.added(model, checkpoint)
    check(checkpoint, model)
    if importance is not None:
        _check_importance(model, importance)
    vocabulary = tokenizer.read(
        checkpoint.folder, model.decoder.vocab_size, checkpoint.config, checkpoint.generation_config, pre=pre
    )
    pooled, notes_on_pooling = pooling(checkpoint, model)
    all_keys = {**pooled, **_keys(checkpoint, model, vocabulary, recipe, origin), **(keys or {})}
    layout = lay_out(
        checkpoint, model, recipe, all_keys, file_name, importance=importance, split_max_size=split_max_size
    )
    for placed in layout.tensors:
        engine_for(placed.type, weighted=importance is not None and placed.tensor.name in importance)
    notes = [*said, *notes_on_pooling, *model.notes, *vocabulary.notes, *layout.notes, *_notes(vocabulary, model)]
    return Prepared(model, layout, list(model.decoder.assumed), list(dict.fromkeys(notes)))


def _keys(checkpoint: Checkpoint, model: Model, vocabulary: Vocabulary, recipe: Recipe, origin: Origin | None) -> Keys:
    general_keys = general(
        origin or Origin(model_name(checkpoint.origin)),
        checkpoint.folder,
        checkpoint.generation_config,
        strips=vocabulary.strips and _is_phi3(vocabulary),
        file_type=FILE_TYPES[recipe.file_type].number,
        parameters=sum(math.prod(tensor.shape) for tensor in model.tensors if tensor.source),
        version=version("edgeconv"),
    )
    return {"general.architecture": string(model.arch), **general_keys, **model.keys, **vocabulary.keys()}


def pooling(checkpoint: Checkpoint, model: Model) -> tuple[Keys, list[str]]:
    """Return the key by which llama.cpp pools the states of a text, where files of sentence-transformers say how.

    Raises:
        CheckpointError: layers follow the pooling, which are not written.
    """
    task = checkpoint.sentence
    if task is None or task.pooling is None:
        return {}, []
    if task.dense and f"{model.arch}.dense_2_feat_in" not in model.keys:
        raise InexpressibleError(
            f"modules.json has layers behind the pooling ({task.dense[0].folder}), which are not written into a GGUF.",
            InexpressibleError.usual_hint,
        )
    number = next(number for number, pooling in POOLING_TYPES.items() if pooling == task.pooling)
    said = [f"An encoder: {task.describe()}."]
    if task.normalize:
        said.append(
            "llama.cpp's programs divide a vector by its length as they are told (--embd-normalize 2, their default)."
        )
    return {f"{model.arch}.pooling_type": u32(number)}, said


def _notes(vocabulary: Vocabulary, model: Model) -> list[str]:
    notes = []
    if vocabulary.strips and not _is_phi3(vocabulary):
        notes.append("The checkpoint's tokenizer swallows white space behind its markers; llama.cpp does not.")
    if "default" not in vocabulary.templates and isinstance(model.decoder, Decoder):
        notes.append("The checkpoint has no chat template; llama.cpp will guess one.")
    return notes


def export(
    checkpoint: Checkpoint,
    prepared: Prepared,
    out: Path,
    *,
    importance: Importance | None = None,
    progress: Progress,
) -> Exported:
    """Write the files.

    Args:
        checkpoint: with its weights.
        prepared: from `prepare`, with the same importance matrix.
        out: the staging folder.
        importance: an importance matrix.
        progress: reports it.

    Raises:
        CheckpointError: a weight is NaN or infinite, or does not fit the type it is to have.
    """
    _give_back_memory()
    usable = None if importance is None else _usable(prepared.model, importance)
    digests = write(checkpoint, prepared.layout, out, usable, progress)
    several = len(prepared.layout.files) > 1
    entries = [
        placed.entry().model_copy(update={"file": file.name if several else None})
        for file in prepared.layout.files
        for placed in file.tensors
    ]
    return Exported(entries, digests)


def _is_phi3(vocabulary: Vocabulary) -> bool:
    return set(vocabulary.tokens) >= _PHI3_TOKENS


def _give_back_memory() -> None:
    """Return what reading the tokenizer took to the system; glibc keeps freed small objects otherwise (100 MB of a large one)."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def check(checkpoint: Checkpoint, model: Model) -> None:
    """Compare the checkpoint's tensors with those that the config promises.

    Raises:
        CheckpointError: one is missing, has another shape or type, or would be left out silently.
    """
    expected = model.decoder.tensors()
    kind = f"{model.decoder.family} {'decoder' if isinstance(model.decoder, Decoder) else 'encoder'}"
    check_coverage(checkpoint, expected, kind, tied=model.decoder.tied, allowed=model.skipped_tensors)
    for name in expected:
        dtype = checkpoint.info(name).dtype
        if dtype not in BY_STORED:
            raise CheckpointError(
                f"{name} has the type {dtype}; weights of {NAMED} can be converted.",
                "Take the checkpoint in one of these types (an unquantized revision of the model).",
            )


def _check_importance(model: Model, importance: Importance) -> None:
    """llama-quantize refuses a matrix of another model, except for the embedding, which no calibration covers."""
    for tensor in model.tensors:
        vector = importance.get(tensor.name)
        if vector is None:
            continue
        if vector.size != tensor.inputs and tensor.name != "token_embd.weight":
            raise UsageError(
                f"The importance matrix has {vector.size} numbers for {tensor.name}, which has {tensor.inputs} inputs.",
                "It was made for another model.",
            )
        if not np.isfinite(vector).all():
            raise UsageError(f"The importance matrix has a number for {tensor.name} that is none.", "Make it again.")


def _usable(model: Model, importance: Importance) -> dict[str, npt.NDArray[Any]]:
    inputs = {tensor.name: tensor.inputs for tensor in model.tensors}
    return {
        name: np.ascontiguousarray(vector, np.float32).reshape(-1)
        for name, vector in importance.items()
        if vector.size == inputs.get(name)
    }
