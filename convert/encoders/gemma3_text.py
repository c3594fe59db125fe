"""EmbeddingGemma: Gemma 3's text model whose tokens see each other in both directions, with layers behind the pooling."""

from __future__ import annotations

from collections.abc import Collection

from ..families.gemma3_text import FAMILY as DECODER
from ..program.encoder import EncoderFamily
from ..program.reading import Reader
from ..program.states import States
from ..program.states_gguf import GGUF
from ..program.task import Task

_BOTH = "use_bidirectional_attention"


def _describe(read: Reader, task: Task, _: Collection[str]) -> States:
    both = read.config.get(_BOTH) is True
    causal = {
        name: value for name, value in read.config.items() if name != _BOTH
    }  # what its block says of a generating model
    return States(DECODER.decoder(causal), task, read.size("max_position_embeddings"), both)


FAMILY = EncoderFamily(
    DECODER.model_type,
    DECODER.defaults,
    _describe,
    also_reads=DECODER.fields | {_BOTH},
    always=False,
    scores=False,
    gguf=GGUF,
)
