"""What a manifest says of an artifact of any format."""

from __future__ import annotations

import hashlib
import json

from ...core.manifest import Manifest


def digest_of(manifest: Manifest) -> str:
    """Return the SHA-256 over the digests of all files."""
    text = json.dumps({name: digest.sha256 for name, digest in sorted(manifest.outputs.items())})
    return hashlib.sha256(text.encode()).hexdigest()


def facts_of(manifest: Manifest | None) -> dict[str, str]:
    """Return what a report says of it; nothing without a manifest."""
    if manifest is None:
        return {}
    return {
        "bits per weight": f"{manifest.bits_per_weight:.2f}",
        "engine": manifest.engine,
        "made by": f"edgeconv {manifest.versions.get('edgeconv', '')}",
    }
