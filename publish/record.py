"""`edgeconv.published.json` of a repository: which files edgeconv put there, for which target, with what content.

Only what stands in it, and is still what was put there, is replaced or deleted without being asked. A repository may hold several
types of GGUF; each is a target of its own.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, ValidationError, field_validator, model_validator

from ..core.manifest import MANIFEST_NAME, Manifest, sidecar
from ..hub.listing import RemoteFile, is_safe_name
from ..hub.sealed import SealedFile
from ..hub.upload import Content, blob_id, sha256
from .place import PARITY

NAME = "edgeconv.published.json"
LARGEST = 16 << 20
_NAMED = 16 << 20
"""Bytes up to which git's name of a file is kept too: the Hub states nothing else of one outside large-file storage."""


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Sent(_Model):
    """What a file was when it was published: bytes, SHA-256, and git's name of it unless it is large."""

    size: int
    sha256: str
    blob: str | None = None

    @classmethod
    def of(cls, content: Content) -> Sent:
        """State a file that is about to be sent."""
        size = content.size if isinstance(content, SealedFile) else len(content)
        return cls(size=size, sha256=sha256(content), blob=blob_id(content) if size <= _NAMED else None)

    def is_still(self, there: RemoteFile) -> bool:
        """Whether the Hub says of a file that it has this content."""
        if there.size != self.size:
            return False
        return there.sha256 == self.sha256 if there.sha256 else there.oid == self.blob


class Target(_Model):
    """One artifact: where its manifest and its report lie (None: it has none, for the reason of `objection`), and its files."""

    manifest: str
    report: str | None
    objection: str = ""
    files: dict[str, Sent]

    @field_validator("files")
    @classmethod
    def _safe(cls, files: dict[str, Sent]) -> dict[str, Sent]:
        for name in files:
            if not may_be_published(name):
                raise ValueError(f"{name!r} is not a name of a file that is published")
        return files

    @model_validator(mode="after")
    def _paired(self) -> Self:
        if not is_manifest_name(self.manifest):
            raise ValueError(f"{self.manifest!r} is not a name of a manifest")
        if self.report not in (None, report_place(self.manifest)):
            raise ValueError(f"{self.report!r} is not a place of its report")
        return self


class Record(_Model):
    """The whole file; `card` is README.md, which all targets share."""

    published: Literal[1] = 1
    card: Sent
    targets: dict[str, Target]

    def dump(self) -> bytes:
        """Return its text: sorted keys, one form for one content."""
        return (json.dumps(self.model_dump(mode="json"), indent=1, ensure_ascii=False, sort_keys=True) + "\n").encode()


def parse(data: bytes) -> Record | None:
    """Read a record; None if it is none that this version understands."""
    try:
        return Record.model_validate_json(data)
    except ValidationError:
        return None


def key_of(manifest: Manifest) -> str:
    """Return what a target is called: its format and precision. A second one of that name takes the first one's place."""
    kind = manifest.scheme.get("precision") or manifest.scheme.get("file_type") or "unknown"
    return f"{manifest.target}-{kind}".lower()


def manifest_place(manifest: Manifest, others: Mapping[str, Target]) -> str:
    """Return where the manifest goes, if `others` share the repository.

    The first takes edgeconv.json and parity/, a later one names like those that lie beside a single GGUF.
    """
    taken = {target.manifest for target in others.values()}
    if MANIFEST_NAME not in taken:
        return MANIFEST_NAME
    return sidecar(_first_file(manifest)).name


def report_place(manifest_at: str) -> str:
    """Return the folder of the report that belongs to the manifest called so."""
    return PARITY if manifest_at == MANIFEST_NAME else manifest_at.removesuffix(MANIFEST_NAME) + PARITY


def is_manifest_name(name: str) -> bool:
    """Whether a file of a repository is a manifest by its name."""
    return "/" not in name and f".{name}".endswith(f".{MANIFEST_NAME}")


def may_be_published(name: str) -> bool:
    """Whether a file of a repository may have this name: it leads nowhere else, and git takes it for nothing of its own."""
    return is_safe_name(name) and not any(part.lower().startswith(".git") for part in name.split("/"))


def _first_file(manifest: Manifest) -> Path:
    files = sorted(name for name in manifest.outputs if name.endswith(".gguf")) or sorted(manifest.outputs)
    return Path(next((name for name in files if not name.startswith("mmproj")), files[0]))
