"""What both OpenVINO engines give back."""

from __future__ import annotations

from dataclasses import dataclass

from ...core.manifest import FileDigest, TensorEntry


@dataclass(frozen=True)
class Exported:
    """The result of an export.

    Attributes:
        tensors: one row a weight, in the order of the graph.
        compressor: "edgeconv" (our own quantiser) or "nncf".
        notes: sentences for the manifest.
        digests: digests that are already known of files written.
    """

    tensors: list[TensorEntry]
    compressor: str
    notes: list[str]
    digests: dict[str, FileDigest]
