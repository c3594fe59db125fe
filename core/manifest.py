"""`edgeconv.json`: what an artefact was made from, how, and the digest of every file.

It holds nothing that differs between two runs on the same input: no times, no paths of the machine, no run ids. Those
stand in `edgeconv.log.json` beside it, which is no part of the artefact.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from .errors import ArtefactError

MANIFEST_NAME = "edgeconv.json"
LOG_NAME = "edgeconv.log.json"


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class FileDigest(_Model):
    """A file's size in bytes and SHA-256."""

    size: int
    sha256: str


class Source(_Model):
    """The checkpoint: Hub id and commit if it came from there, and every file that was read."""

    repo_id: str | None = None
    commit: str | None = None
    model_type: str
    architectures: list[str] = []
    parameters: int
    files: dict[str, FileDigest]


class TensorEntry(_Model):
    """One weight as the artefact stores it.

    `precision` is an OpenVINO element type or an NNCF mode ("int4_sym", "bf16", …), `group_size` the number of
    weights that share a scale (-1: the row; None: not compressed), `bytes` the storage of values, scales and zero points.
    """

    name: str
    shape: list[int]
    precision: str
    group_size: int | None = None
    bytes: int
    file: str | None = None
    """The .xml of the IR that holds it, if the artefact has several."""


class VisionFacts(_Model):
    """The half that sees: how it is stored (`quantize.scheme.Scheme`), and what a runner must know of it.

    A prompt holds `image_tokens` times the token `placeholder_id` for each picture, of `image_size` x `image_size` pixels.
    """

    scheme: dict[str, Any]
    image_size: int
    image_tokens: int
    placeholder_id: int


class Manifest(_Model):
    """The whole of `edgeconv.json`."""

    manifest: Literal[1] = 1
    target: Literal["openvino", "gguf", "onnx"]
    source: Source
    engine: str
    compressor: str
    scheme: dict[str, Any]
    row_order: str | None = None
    """How the rows of q and k lie: "source", or "rotate_half" if `--rope fused` permuted them."""
    vision: VisionFacts | None = None
    assumed: list[str] = []
    """Values that config.json leaves out and that change the mathematics, with the default taken."""
    notes: list[str] = []
    bits_per_weight: float
    tensors: list[TensorEntry]
    versions: dict[str, str]
    outputs: dict[str, FileDigest]

    def write(self, folder: Path) -> None:
        """Write `edgeconv.json` into the folder: sorted keys, one form for one content."""
        text = json.dumps(self.model_dump(mode="json"), indent=1, ensure_ascii=False, sort_keys=True)
        (folder / MANIFEST_NAME).write_text(text + "\n", "utf-8")


def read_manifest(folder: Path) -> Manifest:
    """Read a folder's manifest.

    Raises:
        ArtefactError: there is none, or it is not one that this version understands.
    """
    path = folder / MANIFEST_NAME
    if not path.is_file():
        raise ArtefactError(
            f"{folder} has no {MANIFEST_NAME}.", "Give a folder that edgeconv wrote, or convert the checkpoint again."
        )
    try:
        return Manifest.model_validate_json(path.read_bytes())
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the file"
        raise ArtefactError(
            f"{path} is not a valid manifest: {where}: {first['msg']}.", "It was edited or written by another version."
        ) from error
