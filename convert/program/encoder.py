"""What an encoder is to the formats: tensors, inputs, one output, and the program that makes it of them.

An encoder reads a whole text at once and keeps nothing. Programs: BERT's block (`bert`), ModernBERT's (`modern`).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Protocol

from .encoder_gguf import EncoderGguf
from .ops import Ops, T
from .reading import Config, Reader
from .task import Task

IDS, MASK, TYPES = "input_ids", "attention_mask", "token_type_ids"
STATES, SCORES = "last_hidden_state", "logits"
SCORING = "ForSequenceClassification"
"""How the name of a class ends that gives scores."""


class Encoder(Protocol):
    """One encoder."""

    @property
    def family(self) -> str:
        """Its model_type."""

    @property
    def task(self) -> Task:
        """What it is for."""

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names of the graph's inputs, int64 [batch, n] each."""

    @property
    def vocab_size(self) -> int:
        """Rows of the table of tokens."""

    @property
    def width(self) -> int:
        """Width of a token's states."""

    @property
    def num_layers(self) -> int:
        """Number of layers."""

    @property
    def positions(self) -> int:
        """Tokens that a text may have, at most."""

    @property
    def assumed(self) -> tuple[str, ...]:
        """Values absent from config.json, as sentences."""

    @property
    def unused(self) -> tuple[str, ...]:
        """Patterns of tensors that a checkpoint may hold and this task does not read."""

    @property
    def lookups(self) -> frozenset[str]:
        """Tables of which rows are looked up and that a scheme compresses."""

    @property
    def kept(self) -> frozenset[str]:
        """Matrices that no scheme compresses: small tables."""

    @property
    def prefixes(self) -> tuple[str, ...]:
        """What may stand in front of a name of transformers' class for the task in the checkpoint."""

    @property
    def ropes(self) -> int:
        """Number of rotary embeddings."""

    def tensors(self) -> dict[str, tuple[int, ...]]:
        """Return name and shape of every tensor that it reads, in the order of the graph."""

    def write(self, ops: Ops[T], given: Mapping[str, T]) -> T:
        """Write the program down: float32 [batch, n, width], or [batch, labels] of a scoring one."""


def output_of(encoder: Encoder) -> str:
    """Return the name of its output."""
    return SCORES if encoder.task.kind == "score" else STATES


@dataclass(frozen=True)
class EncoderFamily:
    """One model_type of encoders.

    Attributes:
        model_type: as config.json names it.
        defaults: what transformers takes for absent fields.
        describe: (reader, task, names of tensors) → the description.
        also_reads: fields that are read and have no default.
        always: no model of this type makes text; else the files of sentence-transformers say which one is an encoder.
        scores: the head of its class for scores is known.
        gguf: how llama.cpp knows it; None: it has no such architecture, or knows it as a decoder.
    """

    model_type: str
    defaults: Config
    describe: Callable[[Reader, Task, Collection[str]], Encoder]
    also_reads: frozenset[str] = frozenset()
    always: bool = True
    scores: bool = True
    gguf: EncoderGguf | None = None

    @property
    def fields(self) -> frozenset[str]:
        """Fields of config.json that are read."""
        return frozenset(self.defaults) | self.also_reads | {"model_type", "id2label", "num_labels"}

    def encoder(self, config: Config, task: Task, names: Collection[str]) -> Encoder:
        """Describe a checkpoint.

        Raises:
            CheckpointError: a field that is missing, damaged, or contradicts another.
            UnsupportedArchitecture: the program lacks something; the reason says what.
        """
        return self.describe(Reader(config, self.defaults), task, names)


def prefix_of(names: Collection[str], base: str, known: str) -> str:
    """Return what stands in front of the tensors' names: `base` if a tensor `base` + `known` is there, else nothing."""
    return base if base + known in names else ""


def labels_of(config: Config) -> int:
    """Return how many numbers a scoring model gives, as transformers reads it: by id2label, else num_labels, else 2."""
    stated, named = config.get("num_labels"), config.get("id2label")
    if isinstance(named, dict) and named:
        return len(named)
    return stated if type(stated) is int and stated > 0 else 2
