"""docs/coverage.md: the matrix, and why each empty place is empty."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from .checkpoint import Row

HEAD = """\
# Which models are converted, and whether the result is the model

Written by `python -m benchmarks.coverage`; do not edit. Each row is a tiny checkpoint of random weights whose config.json has
the fields of the repository named (windows, rotary scaling, experts, states, multi-token heads). Each tool converts it to
float32; the result runs in OpenVINO, llama.cpp or onnxruntime, and its logits are compared with those of transformers in float32
at each of 200 positions: all at once, in chunks of 34 through the cache, and step by step. ✓ means: no logit is further off than
0.001 (of a GGUF with GELU 0.02, of Gemma 4, which has two a layer, 0.05, for llama.cpp reads GELU from a table of float16
values, and of Gemma 3n 0.15, whose deviations it takes by another rule, too; then the difference stands in brackets).
Encoders are compared by the states of all tokens, or by their scores, alone and in a batch with a shorter text.
A file that states a shorter context is compared up to it. **wrong** means: converted without a word, and another model. Peers
run in the same environment.

"""
COLUMNS = {
    "edgeconv openvino": "OpenVINO",
    "edgeconv gguf": "GGUF",
    "edgeconv onnx": "ONNX",
    "optimum-cli openvino": "optimum-cli",
    "llama.cpp gguf": "llama.cpp's converter",
}


def page(known: Mapping[str, Row], results: Mapping[str, Mapping[str, Any]]) -> str:
    """Write the page."""
    shown = [name for name in COLUMNS if any(name in cells for cells in results.values())]
    lines = [
        f"| checkpoint | model_type | {' | '.join(COLUMNS[name] for name in shown)} |",
        f"| --- | --- |{' --- |' * len(shown)}",
        *(
            f"| {known[name].like} | {known[name].model_type} | {' | '.join(_cell(cells.get(c)) for c in shown)} |"
            for name, cells in results.items()
        ),
        f"| **right, of {len(results)}** | | {' | '.join(_count(c, results) for c in shown)} |",
    ]
    return HEAD + "\n".join([*lines, "", "## Why not", "", *_reasons(known, results, shown), ""])


def _cell(found: Mapping[str, Any] | None) -> str:
    if found is None:
        return ""
    match found["kind"]:
        case "right":
            marks = ["traced"] if found.get("engine") == "trace" else []
            marks += [f"{found['worst']:.3f}"] if found["worst"] > 1e-3 else []
            marks += [f"up to {found['reach']} positions"] if found.get("reach") else []
            return f"✓ ({', '.join(marks)})" if marks else "✓"
        case "wrong":
            return f"**wrong** ({found['worst']:.2g})"
        case "refused":
            return "—"
        case kind:
            return str(kind)


def _count(column: str, results: Mapping[str, Mapping[str, Any]]) -> str:
    kinds = [cells[column]["kind"] for cells in results.values() if column in cells]
    wrong = kinds.count("wrong")
    return f"{kinds.count('right')}" + (f" ({wrong} wrong)" if wrong else "")


def _reasons(known: Mapping[str, Row], results: Mapping[str, Mapping[str, Any]], shown: list[str]) -> Iterator[str]:
    for name, cells in results.items():
        for column in shown:
            found = cells.get(column)
            if found and found["kind"] not in ("right", "wrong"):
                said = " ".join(str(found["said"]).split()).replace("|", "\\|")
                yield f"- {known[name].like}, {COLUMNS[column]}: {found['kind']}. {said}"
