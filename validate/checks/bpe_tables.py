"""The merges and the vocabulary of a BPE, from a tokenizer IR or a GGUF, and from tokenizer.json, as bytes.

They are compared as tables because texts do not show every fault: openvino_tokenizers takes a token that no merge makes for one
that needs none, so with a merge missing most words still come out right; and no text of a suite has runs of 31 tabs, which
the first merges of Gemma 3 make.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ...core.graph_file import read_graph
from ...runtimes.byte_alphabet import from_stand_ins
from .reference_tokenizer import ReferenceTokenizer

Merge = tuple[bytes, bytes]
_BYTE_TOKEN = re.compile(rb"<0x[0-9A-F]{2}>")


def differences(folder: Path, reference: ReferenceTokenizer, artifact: Any, rows: int) -> list[str]:
    """Compare merges and vocabulary of an artifact's tokenizer with the reference's; a sentence for each table that differs.

    Args:
        folder: the artifact.
        reference: the checkpoint's tokenizer.
        artifact: an `openvino_genai.Tokenizer`.
        rows: of the embedding; tokens beyond it have no place in the IR.

    Returns:
        nothing for a tokenizer that is not a BPE: its texts alone are compared.
    """
    wanted, where = of_reference(reference), "The tokenizer IR"
    if wanted is None:
        return []
    got = _of_ir(folder)
    if wanted.byte_level:
        return compare(wanted, None if got is None else got.merges, artifact.get_vocab(), where)
    # the IR writes byte tokens as bytes; the texts have each of them
    texts = {t: i for t, i in wanted.vocabulary.items() if i < rows and not _BYTE_TOKEN.fullmatch(t)}
    return [] if got is None else compare(Tables(wanted.merges, texts), got.merges, got.vocabulary, where)


@dataclass(frozen=True)
class Tables:
    """The merges in their order, and the id of each token; in a byte-level BPE a token is the bytes that it stands for."""

    merges: list[Merge]
    vocabulary: dict[bytes, int]
    byte_level: bool = False


def of_reference(tokenizer: ReferenceTokenizer) -> Tables | None:
    """Return the tables of a tokenizer; None if it is not a BPE."""
    description = tokenizer.description
    if description.get("model", {}).get("type") != "BPE":
        return None
    if '"ByteLevel"' not in json.dumps(description["decoder"]):
        encoded = {token: token.encode("utf-8", "surrogateescape") for token in tokenizer.vocabulary}
        texts = {encoded[token]: number for token, number in tokenizer.vocabulary.items()}
        return Tables(_merges(description["model"]["merges"], encoded, str.encode), texts)
    added = {token["content"] for token in description["added_tokens"]}
    known = {token: from_stand_ins(token) for token in tokenizer.vocabulary}
    vocabulary = {(t.encode() if t in added else known[t]): i for t, i in tokenizer.vocabulary.items()}
    return Tables(_merges(description["model"]["merges"], known, from_stand_ins), vocabulary, byte_level=True)


def of_gguf(keys: Mapping[str, Any]) -> Tables:
    """Return the tables of a vocabulary of the model "gpt2", by GGUF's keys; only its normal tokens stand for bytes."""
    tokens, types = keys.get("tokenizer.ggml.tokens", []), keys.get("tokenizer.ggml.token_type")
    plain = [True] * len(tokens) if types is None else [int(kind) == 1 for kind in types]
    texts = zip(tokens, plain, strict=True)
    vocabulary = {
        (from_stand_ins(t) if p else t.encode("utf-8", "surrogateescape")): i for i, (t, p) in enumerate(texts)
    }
    pairs = [entry.partition(" ") for entry in keys.get("tokenizer.ggml.merges", [])]
    return Tables(
        [(from_stand_ins(left), from_stand_ins(right)) for left, _, right in pairs], vocabulary, byte_level=True
    )


def compare(wanted: Tables, merges: list[Merge] | None, vocabulary: dict[bytes, int], where: str) -> list[str]:
    """Return a sentence for each table that differs; `merges` are left out if they are None."""
    found = [] if merges is None else _compare_merges(wanted.merges, merges, where)
    return found + _compare_vocabulary(wanted.vocabulary, vocabulary)


def _compare_merges(wanted: list[Merge], got: list[Merge], where: str) -> list[str]:
    if wanted == got:
        return []
    known, asked = set(got), set(wanted)
    missing, extra = [m for m in wanted if m not in known], [m for m in got if m not in asked]
    if not missing and not extra:
        at = next(i for i, (a, b) in enumerate(zip(wanted, got, strict=True)) if a != b)
        return [f"{where} has the merges in another order, from number {at} ({_shown(wanted[at])}) on."]
    parts = [
        f"{len(some)} {what}: {_shown(some[0])}" for what, some in (("missing", missing), ("extra", extra)) if some
    ]
    return [f"{where} has {len(got):,} merges, the checkpoint {len(wanted):,}; {'; '.join(parts)}."]


def _compare_vocabulary(wanted: dict[bytes, int], got: dict[bytes, int]) -> list[str]:
    different = sorted(i for token, i in wanted.items() if got.get(token) != i)
    if not different:
        return []
    tokens = {i: token for token, i in wanted.items()}
    first = tokens[different[0]]
    return [
        f"{len(different)} tokens of the vocabulary differ; the first is {different[0]} {_text(first)}, which the artifact "
        f"has as {got.get(first, 'no token')}."
    ]


def _merges(entries: list[Any], known: Mapping[str, bytes], encode: Callable[[str], bytes]) -> list[Merge]:
    """Return the merges as bytes; `known`: those of most of their parts, which are tokens."""
    pairs = (entry.split(" ") if isinstance(entry, str) else entry for entry in entries)
    return [(known.get(left) or encode(left), known.get(right) or encode(right)) for left, right in pairs]


def _of_ir(folder: Path) -> Tables | None:
    """Read the constants of the IR's BPETokenizer; None if it has none, or merges that are not pairs."""
    import openvino_tokenizers  # noqa: F401 - registers its operations with openvino

    model = read_graph(folder / "openvino_tokenizer.xml")
    for node in model.get_ops():
        # 5 inputs of text, 3 of vocabulary, 3 + 3 of merges, 4 of added tokens where there are any
        if node.get_type_name() == "BPETokenizer" and node.get_input_size() in (14, 18):
            constants = [node.input_value(i).get_node() for i in range(5, 14)]
            if all(constant.get_type_name() == "Constant" for constant in constants):
                tokens, left, right = (_strings(*(c.data for c in constants[i : i + 3])) for i in (0, 3, 6))
                return Tables(list(zip(left, right, strict=True)), {token: i for i, token in enumerate(tokens)})
    return None


def _strings(begins: Any, ends: Any, chars: Any) -> list[bytes]:
    raw = np.asarray(chars, np.uint8).tobytes()
    return [raw[begin:end] for begin, end in zip(begins.tolist(), ends.tolist(), strict=True)]


def _shown(merge: Merge) -> str:
    return f"{_text(merge[0])} + {_text(merge[1])}"


def _text(token: bytes) -> str:
    return repr(token.decode("utf-8", "backslashreplace"))
