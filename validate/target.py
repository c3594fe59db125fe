"""What is validated against what: an artifact, and the checkpoint that it was made from."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..convert import claims, encoders, families
from ..convert.checkpoint import Checkpoint, read_json
from ..convert.open_checkpoint import open_checkpoint
from ..convert.program.encoder import Encoder
from ..core.errors import ArtifactError, UsageError
from ..core.file_digest import file_digest
from ..core.manifest import Manifest, log_path, manifest_path
from ..core.mapped_pages import release_pages, trim_heap
from ..core.progress import Progress
from ..core.unchanged import Unchanged
from .formats import Artifact, open_artifact
from .loaded_names import as_loaded


@dataclass(frozen=True)
class ValidationTarget:
    """An artifact and its reference.

    Attributes:
        artifact: of any format.
        checkpoint: the reference, opened; its tensors by the names that transformers gives them when it loads them.
        reference_name: what it is called.
        weights_digest: SHA-256 over config and shards of the reference.
        artifact_files: the artifact's as they were before anything of them was read.
        encoder: the checkpoint's description, if it is an encoder.
    """

    artifact: Artifact
    checkpoint: Checkpoint
    reference_name: str
    weights_digest: str
    artifact_files: Unchanged = field(default_factory=Unchanged)
    encoder: Encoder | None = None

    def require_unchanged(self) -> None:
        """Refuse if a file of a side is not what it was before it was read. Raises CheckpointError."""
        self.checkpoint.require_unchanged()
        self.artifact_files.require_model()

    @property
    def folder(self) -> Path:
        """Where the artifact lies."""
        return self.artifact.path

    @property
    def manifest(self) -> Manifest | None:
        """Its manifest, or None (another tool made it)."""
        return self.artifact.manifest

    @property
    def takes_images(self) -> bool:
        """True if the model takes pictures; the artifact may lack the half for it (`Artifact.vision_left_out`)."""
        return self.artifact.takes_images or (self.artifact.vision_left_out is not None and _known(self.checkpoint))

    @property
    def parts(self) -> bool:
        """True if the checkpoint's chat template wants content as a list of parts, as that of a vision-language model does."""
        return "vision_config" in self.checkpoint.config

    @property
    def rounds(self) -> bool:
        """True if the artifact keeps weights in 16 bits which cannot hold what the checkpoint's are stored in."""
        holds = {"bf16": {"BF16"}, "fp16": {"BF16", "F16"}, "f16": {"BF16", "F16"}}.get(self.artifact.mode)
        infos = [self.checkpoint.info(name) for name in self.checkpoint.names]
        return holds is not None and any(info.dtype not in holds for info in infos if len(info.shape) > 1)

    @property
    def stop_ids(self) -> list[int]:
        """Token ids that end an answer, by the reference's generation config, else its config."""
        checkpoint = self.checkpoint
        ids = checkpoint.generation_config.get("eos_token_id", checkpoint.config.get("eos_token_id"))
        return ids if isinstance(ids, list) else [] if ids is None else [ids]

    def release(self) -> None:
        """Give memory back: the pages of both sides' files, which are read again if they are needed, and what is free."""
        sides = (self.artifact.path, self.checkpoint.folder)
        release_pages(file for side in sides for file in (side.iterdir() if side.is_dir() else [side]))
        trim_heap()


def open_pair(
    path: Path,
    reference: str | None,
    progress: Progress,
    opened: Callable[[Artifact, Path], None] | None = None,
) -> ValidationTarget:
    """Open both sides.

    Args:
        path: of the artifact.
        reference: what the user says that it was made from.
        progress: reports what is fetched and hashed.
        opened: called with the artifact and the checkpoint's folder before anything large is read or loaded.

    Raises:
        ArtifactError: there is no converted model, or its reference is not the checkpoint that it was made from.
        CheckpointError: config.json states something that the reference would not do.
        UsageError: the reference is not known and was not given.
    """
    files = Unchanged(path.iterdir() if path.is_dir() else [path])
    artifact = open_artifact(path)
    manifest = artifact.manifest
    source, revision = reference_of(artifact.path, manifest, reference)
    from ..hub.fetch import fetch
    from ..hub.source import parse

    fetched = fetch(parse(source, revision), progress=progress)
    checkpoint = open_checkpoint(fetched.path)
    encoder = encoders.describe(checkpoint.config, checkpoint.names, checkpoint.sentence)
    if encoder is None:
        claims.require(checkpoint.config, checkpoint.names)
        claims.unread(checkpoint.config, "transformers, which runs the reference,")
    else:
        encoders.claim(encoder, checkpoint.config, checkpoint.names)
    if artifact.takes_images and not (_known(checkpoint) and _shown(artifact, checkpoint)):
        artifact = artifact.without_vision()
    _require_layout(artifact, checkpoint)
    if opened:
        opened(artifact, checkpoint.folder)
    digests = {name: file_digest(checkpoint.origin / name, progress) for name in sorted(checkpoint.shards)}
    if manifest and reference is None:
        _require_the_same(manifest, digests, source)
    config = hashlib.sha256(json.dumps(checkpoint.config, sort_keys=True).encode()).hexdigest()
    whole = hashlib.sha256(json.dumps([config, digests]).encode()).hexdigest()
    seen = as_loaded(checkpoint) if encoder is None else checkpoint
    return ValidationTarget(artifact, seen, fetched.repo_id or checkpoint.name, whole, files, encoder)


def _known(checkpoint: Checkpoint) -> bool:
    """Tell whether a reference here can run its vision part."""
    part = families.vision_part(checkpoint.model_type, checkpoint.names)
    return part is not None


def _shown(artifact: Artifact, checkpoint: Checkpoint) -> bool:
    """Tell whether an artifact's pictures can be measured: of one with a projector, llama.cpp's kind must be known."""
    part = families.vision_part(checkpoint.model_type, checkpoint.names)
    known = part is not None and part.mmproj is not None
    return known or getattr(artifact, "projector", None) is None


def _require_layout(artifact: Artifact, checkpoint: Checkpoint) -> None:
    """Refuse the layout that presents itself as another model."""
    config = artifact.path / "config.json"
    kind = read_json(config).get("model_type") if artifact.takes_images and config.is_file() else None
    own = families.vision_part(checkpoint.model_type)
    if kind is not None and own is not None and kind not in (own.model_type, checkpoint.model_type):
        raise UsageError(
            f"{artifact.path} is in the layout for openvino_genai, where it presents itself as a {kind}.",
            "Validate the default layout: its weights are the same.",
        )


def reference_of(path: Path, manifest: Manifest | None, given: str | None) -> tuple[str, str | None]:
    """Return what an artifact was made from, a folder or a Hub id, and its commit.

    Args:
        path: of the artifact.
        manifest: its manifest.
        given: what the user says instead.

    Raises:
        UsageError: it is not known, or is not here any more.
    """
    if given is not None:
        return given, None
    if manifest is None:
        raise UsageError(f"{path} has no manifest that names its source.", "Pass --reference FOLDER or a Hub id.")
    if manifest.source.repo_id:
        return manifest.source.repo_id, manifest.source.commit
    where = manifest_path(path)
    log = log_path(where) if where else None
    source: Any = read_json(log).get("source") if log and log.is_file() else None
    if not isinstance(source, str) or not Path(source).exists():
        raise UsageError("What this was converted from is not here any more.", "Pass --reference FOLDER.")
    return source, None


def _require_the_same(manifest: Manifest, digests: dict[str, str], source: str) -> None:
    for name, digest in digests.items():
        if name not in manifest.source.files or manifest.source.files[name].sha256 != digest:
            raise ArtifactError(
                f"{source} is not what this was converted from: {name} differs from the manifest.",
                "Name the right checkpoint with --reference, or convert again.",
            )
