"""What both OpenVINO engines give back."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from ...core.manifest import FileDigest, TensorEntry
from ...quantize.scheme import Scheme


@dataclass(frozen=True)
class Exported:
    """The result of an export.

    Attributes:
        tensors: one row a weight, in the order of the graph.
        compressor: "edgeconv" (our own quantizer), "nncf" (if it compressed one of the IRs), or "none".
        notes: sentences for the manifest.
        digests: digests that are already known of files written.
        vision_scheme: how the vision part is stored, which the values of its weights may decide; None: there is none.
        config: fields that the artifact's config.json gets besides the checkpoint's.
    """

    tensors: list[TensorEntry]
    compressor: str
    notes: list[str]
    digests: dict[str, FileDigest]
    vision_scheme: Scheme | None = None
    config: dict[str, Any] = field(default_factory=dict)
