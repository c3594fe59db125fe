"""The merges and the vocabulary of a byte-level BPE, from a tokenizer IR and from transformers, as bytes.

They are compared as tables because texts do not show every fault: openvino_tokenizers takes a token that no merge makes for one
that needs none, so with a merge missing most words still come out right.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

Merge = tuple[bytes, bytes]


def differences(folder: Path, reference: Any, artefact: Any) -> list[str]:
    """Compare merges and vocabulary of an artefact's tokenizer with the reference's; a sentence for each table that differs.

    Args:
        folder: the artefact.
        reference: a tokenizer of transformers.
        artefact: an `openvino_genai.Tokenizer`.

    Returns:
        nothing for a tokenizer that is no byte-level BPE: its texts alone are compared.
    """
    backend = getattr(reference, "backend_tokenizer", None)
    description = json.loads(backend.to_str()) if backend is not None else {}
    if description.get("model", {}).get("type") != "BPE" or '"ByteLevel"' not in json.dumps(description["decoder"]):
        return []
    found = []
    got = _merges_of_ir(folder)
    if got is not None:
        found += _compare_merges(_merges(description["model"]["merges"]), got)
    added = {token["content"] for token in description["added_tokens"]}
    vocabulary = {(t.encode() if t in added else _bytes(t)): i for t, i in reference.get_vocab().items()}
    return found + _compare_vocabulary(vocabulary, artefact.get_vocab())


def _compare_merges(wanted: list[Merge], got: list[Merge]) -> list[str]:
    if wanted == got:
        return []
    missing, extra = [m for m in wanted if m not in set(got)], [m for m in got if m not in set(wanted)]
    if not missing and not extra:
        at = next(i for i, (a, b) in enumerate(zip(wanted, got, strict=True)) if a != b)
        return [f"The tokenizer IR has the merges in another order, from number {at} ({_shown(wanted[at])}) on."]
    parts = [
        f"{len(some)} {what}: {_shown(some[0])}" for what, some in (("missing", missing), ("extra", extra)) if some
    ]
    return [f"The tokenizer IR has {len(got):,} merges, the checkpoint {len(wanted):,}; {'; '.join(parts)}."]


def _compare_vocabulary(wanted: dict[bytes, int], got: dict[bytes, int]) -> list[str]:
    different = sorted(i for token, i in wanted.items() if got.get(token) != i)
    if not different:
        return []
    tokens = {i: token for token, i in wanted.items()}
    first = tokens[different[0]]
    return [
        f"{len(different)} tokens of the vocabulary differ; the first is {different[0]} {_text(first)}, which the artefact "
        f"has as {got.get(first, 'no token')}."
    ]


def _merges(entries: list[Any]) -> list[Merge]:
    pairs = (entry.split(" ") if isinstance(entry, str) else entry for entry in entries)
    return [(_bytes(left), _bytes(right)) for left, right in pairs]


def _merges_of_ir(folder: Path) -> list[Merge] | None:
    """Read the constants of the IR's BPETokenizer; None if it has none, or merges that are not pairs."""
    import openvino
    import openvino_tokenizers  # noqa: F401 - registers its operations with openvino

    model = openvino.Core().read_model(folder / "openvino_tokenizer.xml")
    for node in model.get_ops():
        # 5 inputs of text, 3 of vocabulary, 3 + 3 of merges, 4 of added tokens where there are any
        if node.get_type_name() == "BPETokenizer" and node.get_input_size() in (14, 18):
            constants = [node.input_value(i).get_node() for i in range(8, 14)]
            if all(constant.get_type_name() == "Constant" for constant in constants):
                left, right = (_strings(*(c.data for c in constants[i : i + 3])) for i in (0, 3))
                return list(zip(left, right, strict=True))
    return None


def _strings(begins: Any, ends: Any, chars: Any) -> list[bytes]:
    raw = np.asarray(chars, np.uint8).tobytes()
    return [raw[begin:end] for begin, end in zip(begins.tolist(), ends.tolist(), strict=True)]


def _bytes(token: str) -> bytes:
    table = _byte_of()
    if all(char in table for char in token):
        return bytes(table[char] for char in token)
    return token.encode()


@cache
def _byte_of() -> dict[str, int]:
    """The printable character by which byte-level BPE writes each byte (GPT-2's `bytes_to_unicode`), turned round."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printable]
    return {chr(b): b for b in printable} | {chr(256 + n): b for n, b in enumerate(others)}


def _shown(merge: Merge) -> str:
    return f"{_text(merge[0])} + {_text(merge[1])}"


def _text(token: bytes) -> str:
    return repr(token.decode("utf-8", "backslashreplace"))
