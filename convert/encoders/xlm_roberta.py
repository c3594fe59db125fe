"""XLM-RoBERTa: multilingual-e5, bge-m3, and rerankers made of them. Sources: `transformers/models/xlm_roberta/`."""

from __future__ import annotations

from collections.abc import Collection

from ..program.bert import Bert
from ..program.bert_gguf import GGUF
from ..program.encoder import EncoderFamily, prefix_of
from ..program.reading import Reader, whole
from ..program.task import Task
from .bert import DEFAULTS, KNOWN, common

BASE = "roberta."
HEAD = ("classifier.dense", "classifier.out_proj")


def _describe(read: Reader, task: Task, names: Collection[str]) -> Bert:
    pad = whole(read.get("pad_token_id"), "pad_token_id")
    return common(read, task, prefix_of(names, BASE, KNOWN), HEAD, pad)


FAMILY = EncoderFamily("xlm-roberta", DEFAULTS | {"pad_token_id": 1}, _describe, gguf=GGUF)
