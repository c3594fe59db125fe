"""A GGUF as a checkpoint to convert: seen as what transformers would have saved. No weight is copied.

Tensors get transformers' names, order of rows and offsets, and are de-quantized a range of rows at a time (`tensors`); config and
tokenizer are made from the file's own keys (`configuration`, `tokenizer`) and kept in the cache (`small_files`).
"""

from __future__ import annotations

import hashlib
from collections import Counter
from pathlib import Path

from ...core.errors import ArtifactError, CheckpointError
from ...core.json_file import read_json
from ...core.unchanged import Unchanged
from .. import native_files
from ..checkpoint import Checkpoint
from ..gguf.describe import describe
from ..gguf.read import GgufFile, open_gguf
from . import claimed, configuration, small_files, tensors

_FORM = 1
"""To be raised when what is written changes while edgeconv's version does not."""
_WHOLE = ("f32", "f16", "bf16")


def view(path: Path) -> Checkpoint:
    """Open a GGUF, of a split one all parts, as a checkpoint of transformers.

    Raises:
        CheckpointError: a damaged file, an architecture, tokenizer or storage type that cannot be read, a part that is missing.
    """
    unchanged = Unchanged(path.parent.glob("*.gguf"))
    try:
        file = open_gguf(path)
    except ArtifactError as error:
        raise CheckpointError(error.message, error.hint) from error
    config = configuration.native(file)
    model = describe(config)
    shards = tensors.shards(file, model)

    def make(folder: Path) -> None:
        small_files.write(folder, file, config)

    folder = native_files.obtain([_FORM, *(_digest(file, part) for part in file.files)], make)
    return Checkpoint(
        folder,
        read_json(folder / "config.json"),
        shards,
        read_json(folder / "generation_config.json"),
        source=file.path,
        notes=(*_notes(file), *claimed.notes(file)),
        unchanged=unchanged,
    )


def _digest(file: GgufFile, part: Path) -> str:
    """SHA-256 of all that stands before a part's data."""
    head = next(head for head in file.heads if head.path == part)
    end = min((info.offset for info in head.tensors.values()), default=head.size)
    return hashlib.sha256(memoryview(head.map)[:end]).hexdigest()


def _notes(file: GgufFile) -> tuple[str, ...]:
    types = Counter(info.type for info in file.tensors.values())
    lossy = {kind: count for kind, count in types.most_common() if kind not in _WHOLE}
    if not lossy:
        return ("The source is a GGUF; config and tokenizer are made from its keys.",)
    listed = ", ".join(f"{count} {kind}" for kind, count in lossy.items())
    return (
        f"The source is a quantized GGUF ({listed} of {len(file.tensors)} tensors): what its quantization lost stays lost, and "
        "is not measured against the original. Convert the original checkpoint if you can.",
    )
