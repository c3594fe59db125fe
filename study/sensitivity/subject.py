"""What is examined: a checkpoint, the suite as its tokenizer has it, and what shall be done to its parts."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path as FilePath
from typing import Any

from ...convert.checkpoint import Checkpoint
from ...core.errors import UsageError
from ...core.file_digest import file_digest
from ...core.progress import Progress
from ...validate.reference import LayeredReference
from ...validate.suite import EncodedDocument, Suite, encode, load, require
from ...validate.tokenizer import open_tokenizer
from .codec import Codec
from .parts import Part, matrices, parts

TOKENS = 2048
"""Tokens of the suite that figures are made on if nothing is said."""


@dataclass(frozen=True)
class Subject:
    """A model and the texts.

    Attributes:
        checkpoint: opened, with its weights.
        name: what it is called.
        digest: SHA-256 over config and shards.
        suite: the texts.
        documents: a share of them as token ids.
        matrices: name → layer, as `parts.matrices` gives them.
        depth: number of layers.
        tied: the head is the embeddings' matrix.
    """

    checkpoint: Checkpoint
    name: str
    digest: str
    suite: Suite
    documents: list[EncodedDocument]
    matrices: dict[str, int]
    depth: int
    tied: bool

    @property
    def ids(self) -> list[list[int]]:
        """Token ids of each document."""
        return [document.ids for document in self.documents]

    @property
    def takes_images(self) -> bool:
        """True if the checkpoint has a vision part, which no text reaches."""
        return "vision_config" in self.checkpoint.config

    def parts(self, by: str) -> list[Part]:
        """Cut the model. Raises UsageError."""
        return parts(self.matrices, self.depth, by, tied=self.tied)

    def facts(self) -> dict[str, Any]:
        """What shapes every figure."""
        return {"weights": self.digest, "documents": self.ids}

    def stored(self, part: Part, codec: Codec) -> dict[str, Any]:
        """Say how a part's matrices are stored, and what they weigh."""
        shapes = [self.checkpoint.info(name) for name in part.tensors]
        fitted = [codec.fitted(info.shape[1]) for info in shapes]
        size = sum(c.bytes(*info.shape) for c, info in zip(fitted, shapes, strict=True))
        return {
            "parameters": sum(info.size for info in shapes),
            "bytes": size,
            "saved": sum(info.bytes for info in shapes) - size,
            "stored_as": dict(Counter(map(str, fitted))),
        }


def open_subject(
    checkpoint: Checkpoint,
    name: str,
    progress: Progress,
    *,
    suite: FilePath | None = None,
    tokens: int = TOKENS,
    window: int | None = None,
) -> Subject:
    """Encode the suite and find the matrices.

    Args:
        checkpoint: opened, with its weights.
        name: what it is called.
        progress: reports the digest.
        suite: a file of texts; None: edgeconv's own.
        tokens: how many to take, as `encode` shares them out.
        window: the most tokens of one pass; None: as in a validation.

    Raises:
        UsageError: the suite is shorter than asked.
        ConversionError: transformers has no decoder of that kind.
    """
    texts = load(suite)
    tokenizer = open_tokenizer(checkpoint.folder, parts="vision_config" in checkpoint.config)
    documents = encode(texts, tokenizer, tokens, **({} if window is None else {"window": window}))
    require(documents, tokens * 9 // 10)
    model = LayeredReference(checkpoint.folder, _nothing)
    known = matrices(checkpoint, model.depth)
    if len(known) < 2:
        raise UsageError(f"{name} has no matrices by the names of transformers' decoders.", "Give a chat checkpoint.")
    tied = model.head_name in known and known[model.head_name] == -1
    return Subject(checkpoint, name, digest_of(checkpoint, progress), texts, documents, known, model.depth, tied)


def _nothing(name: str) -> Any:
    raise KeyError(name)


def digest_of(checkpoint: Checkpoint, progress: Progress) -> str:
    """SHA-256 over config and shards, as `validate.subject.open_pair` computes it: both speak of the same reference."""
    digests = {name: file_digest(checkpoint.origin / name, progress) for name in sorted(checkpoint.shards)}
    config = hashlib.sha256(json.dumps(checkpoint.config, sort_keys=True).encode()).hexdigest()
    return hashlib.sha256(json.dumps([config, digests]).encode()).hexdigest()
