"""Check 0 for an ONNX model: genai_config.json, which onnxruntime-genai obeys, against the graph and the checkpoint's configs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ...convert.checkpoint import Checkpoint, read_json
from ...convert.onnx import assets, sizes
from ...convert.onnx.names import GENAI
from ...core.errors import CheckpointError
from ...runtimes.onnx_graph import OnnxGraph
from .fields import same, search_defaults
from .weights import Findings

_SEARCH = ("do_sample", "temperature", "top_k", "top_p", "repetition_penalty", "num_beams", "no_repeat_ngram_size",
           "num_return_sequences")  # fmt: skip
_NAMED_INPUTS = ("input_ids", "attention_mask", "position_ids")


def check(folder: Path, checkpoint: Checkpoint, graph: OnnxGraph, found: Findings) -> None:
    """Compare each field that decides what the model computes or what a user gets by default.

    Args:
        folder: the artifact; without the file there is nothing to compare.
        checkpoint: the reference.
        graph: the model that generates.
        found: takes the failures.
    """
    if not (folder / GENAI).is_file():
        return
    try:
        own = read_json(folder / GENAI)
    except CheckpointError as error:
        found.failures.append(error.message)
        return
    model, search = _part(own, "model"), _part(own, "search")
    decoder = _part(model, "decoder")
    _sizes(checkpoint, graph, model, decoder, found)
    _names(graph, decoder, found)
    _search(checkpoint, model, search, found)


def _part(fields: Mapping[str, Any], key: str) -> dict[str, Any]:
    value = fields.get(key)
    return value if isinstance(value, dict) else {}


def _sizes(
    checkpoint: Checkpoint, graph: OnnxGraph, model: dict[str, Any], decoder: dict[str, Any], found: Findings
) -> None:
    if decoder.get("filename") != graph.path.name:
        found.failures.append(f"{GENAI}: filename is {decoder.get('filename')}; the graph is in {graph.path.name}.")
    wanted: dict[str, Any] = {"context_length": assets.context_length(checkpoint.config)}
    described = sizes.of_config(checkpoint.config)
    if described is not None:
        wanted |= {
            "head_size": described.head_dim,
            "hidden_size": described.hidden_size,
            "num_attention_heads": described.num_heads,
            "num_hidden_layers": described.num_layers - (checkpoint.config.get("num_kv_shared_layers") or 0),
            "num_key_value_heads": described.num_kv_heads,
            "vocab_size": described.vocab_size,
        }
    caches = [dims for name, dims in graph.shapes.items() if name in _expanded(decoder, "inputs", "past_key_names")]
    for key, axis in (("num_key_value_heads", 1), ("head_size", 3)):
        seen = {dims[axis] for dims in caches if len(dims) == 4 and dims[axis]}
        if len(seen) == 1:
            wanted[key] = seen.pop()
    for key, expected in wanted.items():
        given = model.get(key) if key in ("context_length", "vocab_size") else decoder.get(key)
        if not same(given, expected):
            found.failures.append(f"{GENAI}: {key} is {given}, of the model {expected}.")


def _names(graph: OnnxGraph, decoder: dict[str, Any], found: Findings) -> None:
    """Each input and output that it names is the graph's, and each that the graph has is named."""
    for side, has in (("inputs", set(graph.inputs)), ("outputs", set(graph.outputs))):
        named: set[str] = set()
        for key in _part(decoder, side):
            names = _expanded(decoder, side, key)
            named |= names
            lost = sorted(names - has)
            if lost and not (names & has and _is_of_some(decoder, side, key)):
                found.failures.append(f"{GENAI}: {key} names {lost[0]!r}, and the graph has no such one of its {side}.")
        left = sorted(has - named - (set(_NAMED_INPUTS) if side == "inputs" else {"logits"}))
        if left:
            found.failures.append(f"{GENAI}: of the graph's {side} {left[0]!r} is not named.")


def _is_of_some(decoder: dict[str, Any], side: str, key: str) -> bool:
    """Tell whether a name is one of a kind of layers beside which there are others, with names of their own."""
    kinds = {other for other in _part(decoder, side) if "_conv_" in other or "_recurrent_" in other}
    return bool(kinds) and "%d" in str(_part(decoder, side).get(key))


def _expanded(decoder: dict[str, Any], side: str, key: str) -> set[str]:
    text, layers = _part(decoder, side).get(key), decoder.get("num_hidden_layers")
    if not isinstance(text, str):
        return set()
    if "%d" not in text or not isinstance(layers, int):
        return {text}
    return {text.replace("%d", str(layer)) for layer in range(layers)}


def _search(checkpoint: Checkpoint, model: dict[str, Any], search: dict[str, Any], found: Findings) -> None:
    """What users get who ask for nothing: the checkpoint's own sampling, as far as the model's context reaches."""
    stated = {**checkpoint.config, **{k: v for k, v in checkpoint.generation_config.items() if v is not None}}
    for key in _SEARCH:
        expected = assets.searched(key, stated)
        expected = search_defaults(key) if expected is None else expected
        given = search.get(key, search_defaults(key))
        if not same(given, expected):
            found.failures.append(f"{GENAI}: search.{key} is {given}, by the checkpoint {expected}.")
    length = assets.context_length(checkpoint.config)
    if search.get("max_length", length) not in (length, checkpoint.generation_config.get("max_length")):
        found.failures.append(
            f"{GENAI}: search.max_length is {search['max_length']}, of {length} positions that the model has."
        )
