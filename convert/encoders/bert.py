"""BERT: bge, e5, MiniLM, and rerankers made of them (BertForSequenceClassification). Sources: `transformers/models/bert/`."""

from __future__ import annotations

from collections.abc import Collection

from ..program.bert import Bert
from ..program.bert_gguf import GGUF
from ..program.encoder import EncoderFamily, prefix_of
from ..program.reading import Reader, UnsupportedArchitecture
from ..program.task import Task

BASE = "bert."
KNOWN = "embeddings.word_embeddings.weight"
DEFAULTS = {
    "vocab_size": 30522,
    "hidden_size": 768,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "intermediate_size": 3072,
    "hidden_act": "gelu",
    "max_position_embeddings": 512,
    "type_vocab_size": 2,
    "layer_norm_eps": 1e-12,
    "position_embedding_type": "absolute",
}
HEAD = ("pooler.dense", "classifier")


def common(read: Reader, task: Task, prefix: str, head: tuple[str, ...], pad: int | None = None) -> Bert:
    """Describe a checkpoint of BERT's block.

    Raises:
        UnsupportedArchitecture: positions of another kind than learned ones.
    """
    kind = read.get("position_embedding_type")
    if kind != "absolute":
        raise UnsupportedArchitecture(f"its positions are of the kind {kind!r}, and only learned ones are known")
    return Bert(
        family=str(read.config["model_type"]),
        task=task,
        prefix=prefix,
        vocab_size=read.size("vocab_size"),
        width=read.size("hidden_size"),
        inner=read.size("intermediate_size"),
        num_layers=read.layers(),
        num_heads=read.size("num_attention_heads"),
        eps=read.number("layer_norm_eps"),
        activation=read.activation(),
        places=read.size("max_position_embeddings"),
        kinds=read.size("type_vocab_size"),
        pad=pad,
        head=head if task.kind == "score" else (),
        assumed=tuple(
            read.assumed[key] for key in read.defaults if key in read.assumed and key != "position_embedding_type"
        ),
    )


def _describe(read: Reader, task: Task, names: Collection[str]) -> Bert:
    prefix = prefix_of(names, BASE, KNOWN)
    return common(read, task, prefix, (prefix + HEAD[0], HEAD[1]))


FAMILY = EncoderFamily("bert", DEFAULTS, _describe, gguf=GGUF)
