"""Qwen3-Embedding: Qwen3 without its head, of which the last token's state is the text's vector."""

from __future__ import annotations

from collections.abc import Collection

from ..families.qwen3 import FAMILY as DECODER
from ..program.encoder import EncoderFamily
from ..program.reading import Reader
from ..program.states import States
from ..program.task import Task


def _describe(read: Reader, task: Task, _: Collection[str]) -> States:
    return States(DECODER.decoder(read.config), task, read.size("max_position_embeddings"))


FAMILY = EncoderFamily(
    DECODER.model_type, DECODER.defaults, _describe, also_reads=DECODER.fields, always=False, scores=False
)
