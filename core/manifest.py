"""`edgeconv.json`: what an artifact was made from, how, and the digest of every file.

It holds nothing that differs between two runs on the same input: no times, no paths of the machine, no run ids. Those
stand in `edgeconv.log.json` beside it, which is not part of the artifact.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, SerializerFunctionWrapHandler, ValidationError, model_serializer

from . import limits
from .errors import ArtifactError
from .format_names import FormatName

MANIFEST_NAME = "edgeconv.json"
LOG_NAME = "edgeconv.log.json"
LARGEST = 64 << 20
"""Bytes of a manifest; one of 100,000 weights has half of it."""
_PART = re.compile(r"-\d{5}-of-\d{5}$")
"""How parts of a split GGUF are numbered behind its name."""


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
    card: dict[str, Any] = {}
    """Of the front matter of its model card: license, languages, tags, task."""


class TensorEntry(_Model):
    """One weight as the artifact stores it.

    `precision` is an OpenVINO element type or an NNCF mode ("int4_sym", "bf16", …), `group_size` the number of
    weights that share a scale (-1: the row; None: not compressed), `bytes` the storage of values, scales and zero points.
    """

    name: str
    shape: list[int]
    precision: str
    group_size: int | None = None
    bytes: int
    file: str | None = None
    """The .xml of the IR that holds it, if the artifact has several."""


class VisionFacts(_Model):
    """The vision part: how it is stored (`quantize.scheme.Scheme`), and what a runner must know of it.

    A prompt holds `image_tokens` times the token `placeholder_id` for each picture, of `image_size` x `image_size` pixels; null
    where that depends on the picture.
    """

    scheme: dict[str, Any]
    image_size: int | None
    image_tokens: int | None
    placeholder_id: int


class EncoderFacts(_Model):
    """What an encoder is for.

    `task` is "embed" or "score", `output` the graph's output. Of a model that embeds: `pooling` makes one vector of the states of
    a text's tokens ("mean", "cls", "last"; None: the checkpoint does not say), the layers in the folders `dense` follow, and
    `normalize` divides it by its length. Of one that scores: `labels` numbers. Texts are cut at `max_length` tokens, if the
    checkpoint says so, and at `positions` at the latest.
    """

    task: Literal["embed", "score"]
    output: str
    pooling: str | None = None
    normalize: bool = False
    dense: list[str] = []
    max_length: int | None = None
    positions: int
    labels: int | None = None


class CalibrationFacts(_Model):
    """The text that the weights were compressed with.

    `sha256` is that of its content, whatever form it was read from; `samples` pieces of it, `tokens` in all, were measured on.
    """

    name: str
    sha256: str
    samples: int
    tokens: int
    pictures: int = 0


class Manifest(_Model):
    """The whole of `edgeconv.json`."""

    manifest: Literal[1] = 1
    target: FormatName
    source: Source
    engine: str
    compressor: str
    scheme: dict[str, Any]
    row_order: str | None = None
    """How the rows of q and k lie: "source", or "rotate_half" if `--rope fused` permuted them."""
    vision: VisionFacts | None = None
    encoder: EncoderFacts | None = None
    calibration: CalibrationFacts | None = None
    assumed: list[str] = []
    """Values that config.json leaves out and that change the mathematics, with the default taken."""
    notes: list[str] = []
    bits_per_weight: float
    tensors: list[TensorEntry]
    versions: dict[str, str]
    outputs: dict[str, FileDigest]

    @model_serializer(mode="wrap")
    def _without_encoder(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave the section on an encoder out where there is none: the form that manifests had before there were any."""
        content: dict[str, Any] = dump(self)
        if content.get("encoder") is None:
            content.pop("encoder", None)
        return content

    def write(self, folder: Path, name: str = MANIFEST_NAME) -> None:
        """Write `edgeconv.json` into the folder: sorted keys, one form for one content."""
        content = self.model_dump(mode="json")
        if self.calibration is None:
            del content["calibration"]  # what no text was used for has the form that it had before there were any
        text = json.dumps(content, indent=1, ensure_ascii=False, sort_keys=True)
        (folder / name).write_text(text + "\n", "utf-8")


def sidecar(file: Path, name: str = MANIFEST_NAME) -> Path:
    """Return where the manifest (or the log) of a single file lies: `x.edgeconv.json` for `x.gguf` and for its parts."""
    return file.with_name(f"{_PART.sub('', file.stem)}.{name}")


def manifest_path(artifact: Path) -> Path | None:
    """Find the manifest of an artifact, a folder or a file in one or beside its manifest; None if it has none.

    A manifest that does not name the file is another one's.

    Raises:
        ArtifactError: there is one, but it cannot be read.
    """
    if artifact.is_dir():
        path = artifact / MANIFEST_NAME
        return path if path.is_file() else None
    for path in (sidecar(artifact), artifact.with_name(MANIFEST_NAME)):
        if path.is_file() and artifact.name in read_manifest(path).outputs:
            return path
    return None


def manifest_of(artifact: Path) -> Manifest | None:
    """Read the manifest that `manifest_path` finds.

    Raises:
        ArtifactError: there is one, but it cannot be read.
    """
    path = manifest_path(artifact)
    return read_manifest(path) if path else None


def log_path(manifest: Path) -> Path:
    """Return where the log lies that belongs to a manifest."""
    return manifest.with_name(manifest.name.removesuffix(MANIFEST_NAME) + LOG_NAME)


def read_manifest(where: Path) -> Manifest:
    """Read a manifest, given itself or the folder that it lies in.

    Raises:
        ArtifactError: there is none, or it is not one that this version understands.
    """
    path = where if where.is_file() else where / MANIFEST_NAME
    if not path.is_file():
        raise ArtifactError(
            f"{where} has no {MANIFEST_NAME}.", "Give a folder that edgeconv wrote, or convert the checkpoint again."
        )
    size = path.stat().st_size
    if size > LARGEST:
        raise ArtifactError(
            f"{path} has {size:,} bytes, which no manifest needs.", "It is damaged or hostile; do not use the model."
        )
    try:
        return Manifest.model_validate_json(limits.read_bytes(path, LARGEST, ArtifactError))
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(map(str, first["loc"])) or "the file"
        raise ArtifactError(
            f"{path} is not a valid manifest: {field}: {first['msg']}.", "It was edited or written by another version."
        ) from error
