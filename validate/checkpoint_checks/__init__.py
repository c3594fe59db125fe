"""Does every assumption that our code makes about a checkpoint hold? Told from its small files and its shards' headers.

`edgeconv doctor --model` shows the answer; no weight is read, and no code of the checkpoint's is run. One file a topic.
"""

from __future__ import annotations

from dataclasses import dataclass

from ...hub.fetch import Metadata
from .row import Row

__all__ = ["Report", "Row", "examine"]


@dataclass(frozen=True)
class Report:
    """The rows, and what they are about.

    `bytes` and `parameters` count what the shards' headers promise.
    """

    source: str
    commit: str | None
    model_type: str
    parameters: int
    bytes: int
    rows: tuple[Row, ...]

    @property
    def sound(self) -> bool:
        """True if nothing is wrong."""
        return all(row.status != "wrong" for row in self.rows)


def examine(metadata: Metadata) -> Report:
    """Read configs, tokenizer files and headers, and hold them against what the code takes for granted.

    Raises:
        CheckpointError: configs or headers are damaged, do not belong together, or the weights are not safetensors.
    """
    from . import engine, pictures, template, tensors, tokens
    from .subject import open_subject

    subject = open_subject(metadata)
    checkpoint, fetched = subject.checkpoint, metadata.fetched
    rows = [
        *engine.engine(subject),
        *engine.config(subject),
        *tensors.rows(subject),
        *tokens.rows(subject),
        *template.rows(subject),
        *pictures.rows(subject),
        *engine.scheme(subject),
    ]
    return Report(
        source=fetched.repo_id or str(fetched.path),
        commit=fetched.commit,
        model_type=subject.vision.family if subject.vision else checkpoint.model_type,
        parameters=checkpoint.parameters,
        bytes=checkpoint.size,
        rows=tuple(rows),
    )
