"""The second half of a conversion to GGUF: what was planned is written into a staging folder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...core.digest import sha256_file
from ...core.inputs import InputDigests
from ...core.manifest import Manifest
from ...core.progress import Progress
from .. import encoders, sentence
from ..gguf import export, mmproj
from . import encoder_facts
from .artifact import bits_per_weight, outputs, source_of, versions
from .source import OpenedSource

if TYPE_CHECKING:
    from .gguf_prepare import Prepared

READ = (
    "config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json",
    "added_tokens.json", "tokenizer.model", "chat_template.jinja", "chat_template.json", "additional_chat_templates/*.jinja",
    "preprocessor_config.json", "README.md",
)  # fmt: skip
"""Files beside the weights that shape the result."""
VERSIONS = ("edgeconv", "gguf", "tokenizers")


def _scheme(ready: Prepared) -> dict[str, Any]:
    """The recipe, and the importance matrix by its digest: the two that decide on every byte."""
    scheme, given = ready.plan.recipe.as_dict(), ready.importance
    if given is None:
        return scheme
    facts = {
        "file": given.path.name,
        "sha256": sha256_file(given.path),
        "dataset": given.dataset,
        "chunks": given.chunks,
    }
    return {**scheme, "imatrix": facts}


def convert(ready: Prepared, opened: OpenedSource, folder: Path, progress: Progress) -> Manifest:
    """Write all files of a plan into the staging folder and return the manifest that describes them."""
    checkpoint, planned = opened.checkpoint, ready.plan
    patterns = () if checkpoint.is_file else READ
    found = [path for pattern in patterns for path in sorted(checkpoint.origin.glob(pattern)) if path.is_file()]
    found += [] if checkpoint.is_file else sentence.files(checkpoint.origin)
    names = [path.relative_to(checkpoint.origin).as_posix() for path in found] + sorted(checkpoint.shards)
    digests = InputDigests(checkpoint.origin, names, opened.known, progress, checkpoint.unchanged)
    exported = export.export(
        checkpoint,
        ready.prepared,
        folder,
        importance=ready.importance.importance if ready.importance else None,
        progress=progress,
    )
    tensors, known = exported.tensors, exported.digests
    if ready.projector:
        known = known | mmproj.export(checkpoint, ready.projector, folder, progress)
        own = [placed.entry() for placed in ready.projector.file.tensors]
        tensors = [*tensors, *(entry.model_copy(update={"file": ready.projector.file.name}) for entry in own)]
    return Manifest(
        target="gguf",
        source=source_of(checkpoint, opened.repo_id, opened.commit, digests.result()),
        engine=planned.engine,
        compressor=planned.compressor,
        scheme=_scheme(ready),
        encoder=encoder_facts.facts(encoders.describe(checkpoint.config, checkpoint.names, checkpoint.sentence)),
        assumed=planned.assumed,
        notes=planned.notes,
        bits_per_weight=bits_per_weight(tensors),
        tensors=tensors,
        versions=versions(VERSIONS),
        outputs=outputs(folder, known),
    )
