"""What is validated against what: an artefact's folder, and the checkpoint that it was made from."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..convert.checkpoint import Checkpoint, open_checkpoint, read_json
from ..core.errors import ArtefactError, UsageError
from ..core.manifest import LOG_NAME, MANIFEST_NAME, Manifest, read_manifest
from ..core.progress import Progress
from ..quantize.scheme import bits_of
from . import cache, histogram, irs


@dataclass(frozen=True)
class Pair:
    """An artefact and its reference.

    Attributes:
        folder: the artefact's.
        manifest: its manifest, or None (another tool made it).
        checkpoint: the reference, opened.
        weights_digest: SHA-256 over config and shards of the reference.
        mode: how most of its weights are stored ("int4_sym", "bf16", …).
    """

    folder: Path
    manifest: Manifest | None
    checkpoint: Checkpoint
    reference_name: str
    weights_digest: str
    mode: str

    @property
    def digest(self) -> str:
        """SHA-256 that stands for the artefact's weights and graph."""
        if self.manifest:
            text = json.dumps({n: d.sha256 for n, d in sorted(self.manifest.outputs.items())})
            return hashlib.sha256(text.encode()).hexdigest()
        graphs = [(self.folder / name).read_bytes() for name in irs.names(self.folder)]
        return hashlib.sha256(b"".join(graphs)).hexdigest()

    @property
    def sees(self) -> bool:
        """True if the artefact takes pictures."""
        return irs.sees(self.folder)

    @property
    def stop_ids(self) -> list[int]:
        """Token ids that end an answer, by the reference's generation config, else its config."""
        checkpoint = self.checkpoint
        ids = checkpoint.generation_config.get("eos_token_id", checkpoint.config.get("eos_token_id"))
        return ids if isinstance(ids, list) else [] if ids is None else [ids]


def open_pair(folder: Path, reference: str | None, progress: Progress) -> Pair:
    """Open both sides.

    Raises:
        ArtefactError: the folder holds no converted model, or its reference is not the checkpoint that it was made from.
        UsageError: the reference is not known and was not given.
    """
    irs.names(folder)
    manifest = read_manifest(folder) if (folder / MANIFEST_NAME).is_file() else None
    source, revision = _reference(folder, manifest, reference)
    from ..hub.fetch import fetch
    from ..hub.source import parse

    fetched = fetch(parse(source, revision), progress=progress)
    checkpoint = open_checkpoint(fetched.path)
    digests = {name: cache.file_digest(checkpoint.folder / name, progress) for name in sorted(checkpoint.shards)}
    if manifest and reference is None:
        _require_the_same(manifest, digests, source)
    config = hashlib.sha256(json.dumps(checkpoint.config, sort_keys=True).encode()).hexdigest()
    whole = hashlib.sha256(json.dumps([config, digests]).encode()).hexdigest()
    mode = str(manifest.scheme["mode"]) if manifest else _mode_of(folder)
    name = fetched.repo_id or checkpoint.folder.resolve().name
    return Pair(folder, manifest, checkpoint, name, whole, mode)


def _reference(folder: Path, manifest: Manifest | None, given: str | None) -> tuple[str, str | None]:
    if given is not None:
        return given, None
    if manifest is None:
        raise UsageError(
            f"{folder} has no manifest that names its source.", "Say it with --reference FOLDER or a Hub id."
        )
    if manifest.source.repo_id:
        return manifest.source.repo_id, manifest.source.commit
    log = folder / LOG_NAME
    source: Any = read_json(log).get("source") if log.is_file() else None
    if not isinstance(source, str) or not Path(source).is_dir():
        raise UsageError(
            "The folder that this was converted from is not here any more.", "Say it with --reference FOLDER."
        )
    return source, None


def _require_the_same(manifest: Manifest, digests: dict[str, str], source: str) -> None:
    for name, digest in digests.items():
        if name not in manifest.source.files or manifest.source.files[name].sha256 != digest:
            raise ArtefactError(
                f"{source} is not what this was converted from: {name} differs from the manifest.",
                "Name the right checkpoint with --reference, or convert again.",
            )


_MODES = {"i4": "int4_sym", "u4": "int4_asym", "i8": "int8_sym", "u8": "int8_asym", "f32": "fp32", "f16": "fp16"}


def _mode_of(folder: Path) -> str:
    """The fewest bits in which a fifth of the parameters is stored, read from the IR itself."""
    rows = histogram.of_ir(folder / irs.names(folder)[0])
    modes = [(_MODES.get(row.precision, row.precision), row.parameters) for row in rows]
    total = sum(parameters for _, parameters in modes)
    return min((mode for mode, parameters in modes if parameters >= total / 5), key=bits_of)
