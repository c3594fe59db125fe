"""Mend the graphs of openvino_tokenizers where they are not the tokenizer that they were made from.

Its converter merges the steps of a pre-tokenizer into one expression, looks for tokens in a text that no merge makes, knows no
`ignore_merges`, composes characters by a table of whole decompositions, and takes every token of six characters in angle
brackets for a byte. Its operations can do better; only how they are put together is changed here. Read and measured with
openvino_tokenizers 2026.4.1 (`src/bpe_tokenizer.cpp`, `python/openvino_tokenizers/hf_parser.py`).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np

from .tokenizer_marks import PASSES, apart, out_of_order
from .tokenizer_vocabulary import Words, decoded, reachable
from .tokenizer_wordpiece import REPLACED, kept, stand_in, unknown

_BYTE_LEVEL = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
"""The expression behind ByteLevel's use_regex."""
_FORMS = {"nfd": ("nfd", ""), "nfkd": ("nfkd", ""), "nfc": ("nfd", "nfc"), "nfkc": ("nfkd", "nfc")}
"""Form → what decomposes, and what composes after the marks have been put in order."""
_SPLIT_KINDS = ("Split", "Digits", "ByteLevel")


def mend(tokenizer: Any, detokenizer: Any, backend: Any) -> None:
    """Change both models (`openvino.Model`) in place.

    Args:
        tokenizer: text → ids.
        detokenizer: ids → text.
        backend: the `tokenizers.Tokenizer` that they were made from.
    """
    description = json.loads(backend.to_str())
    if (description.get("normalizer") or {}).get("type") == "BertNormalizer":
        _lower(tokenizer, description)
    _normalize(tokenizer)
    _split(tokenizer, description.get("pre_tokenizer"))
    if description["model"].get("type") == "BPE":
        _tokenize(tokenizer, description, backend)
    _decode(detokenizer, description)
    for model in (tokenizer, detokenizer):
        model.validate_nodes_and_infer_types()


def _normalize(model: Any) -> None:
    """Decompose, order the marks, compose; the operation alone composes nothing that is composed in part, or out of order."""
    for node in _found(model, "CharsMapNormalization"):
        attributes = node.get_attributes()
        form = attributes.get("normalization_form")
        if form not in _FORMS or attributes.get("case_fold") or attributes.get("nmt"):
            continue
        first, then = _FORMS[form]
        plain = {key: value for key, value in attributes.items() if key != "normalization_form"}
        last = _made("CharsMapNormalization", _inputs(node), plain | {"normalization_form": first})
        rules = out_of_order(), apart(0), apart(1)
        ordering, *joining = ([*_text(expression), *_text(becomes)] for expression, becomes in rules)
        for texts in [ordering] * PASSES + (joining if then else []):
            last = _made("RegexNormalization", [*last.outputs(), *texts], {"global_replace": True})
        if then:
            last = _made("CharsMapNormalization", last.outputs(), plain | {"normalization_form": then})
        _replace(node, last)


def _lower(model: Any, description: dict[str, Any]) -> None:
    """Clean, space and lower as BERT does (`tokenizer_wordpiece`)."""
    for node in _found(model, "RegexNormalization"):
        *inputs, pattern, becomes = _inputs(node)
        better = REPLACED.get(bytes(np.array(pattern.get_node().data)).decode("utf-8", "replace"))
        if better:
            _replace(node, _made("RegexNormalization", [*inputs, *_text(better), becomes], {"global_replace": True}))
    letters = kept(description["model"].get("vocab", {}))
    for node in _found(model, "CharsMapNormalization") if description["normalizer"].get("clean_text") else ():
        if not node.get_attributes().get("case_fold"):
            continue
        outputs = _swapped(_inputs(node), unknown(letters), stand_in(len(letters))).outputs()
        for number, letter in enumerate(letters):
            outputs = _swapped(outputs, letter, stand_in(number)).outputs()
        folded = _made("CharsMapNormalization", outputs, node.get_attributes())
        last = folded
        for number, letter in enumerate(letters):
            last = _swapped(last.outputs(), stand_in(number), letter)
        _replace(node, last)


def _swapped(outputs: Sequence[Any], letter: str, other: str) -> Any:
    """Put a letter in the place of another."""
    return _made("RegexNormalization", [*outputs, *_text(letter), *_text(other)], {"global_replace": True})


def _split(model: Any, pre_tokenizer: dict[str, Any] | None) -> None:
    """Let each step split the parts that the one before has made; one expression of all of them looks across their borders."""
    nodes = _found(model, "RegexSplit")
    steps = (pre_tokenizer or {}).get("pretokenizers") or []
    if not nodes or any(step["type"] not in _SPLIT_KINDS for step in steps):
        return
    patterns = [pattern for pattern in map(_pattern, steps) if pattern is not None]
    if len(patterns) < 2:
        return
    outputs = _inputs(nodes[0])[:-1]  # the last is the expression
    for expression, attributes in patterns:
        last = _made("RegexSplit", [*outputs, *_text(expression)], attributes)
        outputs = last.outputs()
    _replace(nodes[-1], last)


def _pattern(step: dict[str, Any]) -> tuple[str, dict[str, Any]] | None:
    """Return a step's expression and how it splits; None if it does not."""
    attributes = {"behaviour": "isolate", "invert": False, "max_splits": -1}
    if step["type"] == "Digits":
        return r"\p{N}" if step.get("individual_digits") else r"\p{N}+", attributes
    if step["type"] == "ByteLevel":
        return (_BYTE_LEVEL, attributes) if step.get("use_regex", True) else None
    pattern = step["pattern"]
    behavior = step["behavior"].lower().rstrip("d")
    return pattern.get("Regex") or _quoted(pattern["String"]), attributes | {
        "behaviour": behavior, "invert": bool(step.get("invert")),
    }  # fmt: skip


def _quoted(text: str) -> str:
    return "".join(f"\\{char}" if not char.isalnum() and char.isascii() else char for char in text)


def _tokenize(model: Any, description: dict[str, Any], backend: Any) -> None:
    """Give the BPE a vocabulary in which a text can only find what the original finds in it."""
    (node,) = _found(model, "BPETokenizer")
    words = reachable(description, backend)
    if words is None:
        return
    inputs = _inputs(node)
    merges = 11 if _has_pairs(inputs) else 8
    at, tokens = 5, _strings(words.tokens)
    pieces = _whole_words(inputs[:at], words) if words.whole else inputs[:at]
    more = [*words.added, *((alias, number) for alias, (_, number) in zip(words.aliases(), words.whole, strict=True))]
    extra = [] if not more else [
        *_strings([text for text, _ in more]), _constant(np.array([number for _, number in more], np.int32)),
    ]  # fmt: skip
    attributes = node.get_attributes() | {"byte_fallback": False}
    made = _made("BPETokenizer", [*pieces, *tokens, *inputs[at + 3 : merges + 3], *extra], attributes)
    _replace(node, made)


def _has_pairs(inputs: Sequence[Any]) -> bool:
    """True if the merges are two lists of strings and not one; added tokens take four inputs more, where there are any."""
    return len(inputs) in (14, 18)


def _whole_words(inputs: Sequence[Any], words: Words) -> list[Any]:
    """Put a name that no text has in the place of each word that is a token by itself, whatever the merges make of it.

    Args:
        inputs: of the BPE: begins and ends of the ragged rows, begins and ends of the words (int32 [words]), and bytes (uint8).
        words: with the tokens that are found whole.
    """
    from openvino import opset13

    ops: Any = opset13
    *rows, begins, ends, chars = inputs
    names = list(words.aliases())
    values = np.arange(len(names), dtype=np.int32)
    vocabulary = _strings([text for text, _ in words.whole])
    found = _made("VocabEncoder", [begins, ends, chars, *vocabulary, _constant(values), _constant(np.int32(-1))], {})
    number = found.output(0)
    size = ops.convert(ops.squeeze(ops.shape_of(chars), _constant(np.int64(0))), np.int32)
    width = len(names[0])
    start = ops.add(ops.multiply(ops.maximum(number, np.int32(0)), np.int32(width)), size)
    known = ops.greater_equal(number, np.int32(0))
    joined = ops.concat([chars, _constant(np.frombuffer(b"".join(names), np.uint8))], 0)
    return [
        *rows,
        ops.select(known, start, begins).output(0),
        ops.select(known, ops.add(start, np.int32(width)), ends).output(0),
        joined.output(0),
    ]


def _decode(model: Any, description: dict[str, Any]) -> None:
    """Put what the decoder makes of single tokens into the vocabulary, bytes as bytes, and leave its operations out."""
    nodes, fuze = _found(model, "VocabDecoder"), _found(model, "FuzeRagged")
    if not _found(model, "ByteFallback") or len(nodes) != 1 or len(fuze) != 1:
        return
    inputs = _inputs(nodes[0])
    made = _made("VocabDecoder", [inputs[0], *_strings(decoded(description)), *inputs[4:]], {})
    rows_begins, rows_ends, begins, ends, chars = made.outputs()
    behind = _inputs(fuze[0])[2].get_node().output(2)  # the bytes, which FuzeRagged does not take
    for target in list(behind.get_target_inputs()):
        target.replace_source_output(chars)
    _replace(fuze[0], _made("FuzeRagged", [rows_begins, rows_ends, begins, ends], {}))


def _found(model: Any, kind: str) -> list[Any]:
    return [node for node in model.get_ordered_ops() if node.get_type_name() == kind]


def _inputs(node: Any) -> list[Any]:
    return [entry.get_source_output() for entry in node.inputs()]


def _replace(old: Any, new: Any) -> None:
    for before, after in zip(old.outputs(), new.outputs(), strict=True):
        for target in list(before.get_target_inputs()):
            target.replace_source_output(after)


def _made(kind: str, inputs: Sequence[Any], attributes: dict[str, Any]) -> Any:
    from openvino_tokenizers import _get_factory

    return _get_factory().create(kind, list(inputs), attributes)


def _constant(value: Any) -> Any:
    from openvino import opset13

    return opset13.constant(value).output(0)


def _text(value: str) -> list[Any]:
    return [_constant(np.frombuffer(value.encode(), np.uint8))]


def _strings(values: Sequence[bytes]) -> list[Any]:
    """Return begins, ends (int32 [n]) and bytes (uint8) of a list of strings."""
    sizes = np.fromiter(map(len, values), np.int32, len(values))
    ends = np.cumsum(sizes, dtype=np.int32)
    return [_constant(ends - sizes), _constant(ends), _constant(np.frombuffer(b"".join(values), np.uint8))]
