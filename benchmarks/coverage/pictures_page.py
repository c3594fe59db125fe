"""docs/coverage-pictures.md: the matrix of vision-language models, and why each empty place is empty."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

HEAD = """\
# Vision-language models: what is converted, and whether it sees what the model sees

Written by `python -m benchmarks.coverage.pictures`; do not edit. Each row is a tiny checkpoint of random weights with the real
features of its family (tiles, windows, dynamic sizes, positions of several axes, DeepStack) and a real processor. Each tool
converts it to float32, and is asked four things: words alone, a picture, two pictures of different shapes, and one that no grid
of patches takes as it is. ✓ means: all four greedy answers of 8 tokens are those of transformers in float32, and so are the
logits before each of their tokens, to 0.001 (in llama.cpp to 0.05: it reads GELU from a table of float16 values, in the vision
encoder and in the language model; openvino_genai tells no logits). A number is the largest difference of a logit; k/4 the
answers that are right. openvino_genai runs the artifact of the first column, as it is. llama.cpp is shown pictures of sizes
that neither it nor the model's processor resizes (`validate` says what its own resizing does): of tiles the whole picture behind
them is resized nevertheless.

"""
COLUMNS = {
    "edgeconv openvino": "OpenVINO",
    "openvino_genai openvino": "the same in openvino_genai",
    "edgeconv gguf": "GGUF and mmproj in llama.cpp",
    "edgeconv onnx": "ONNX",
    "optimum-cli openvino": "optimum-cli",
    "llama.cpp gguf": "llama.cpp's converter",
}


def page(results: Mapping[str, Mapping[str, Any]]) -> str:
    """Write the page."""
    shown = [name for name in COLUMNS if any(name in cells for cells in results.values())]
    lines = [
        f"| model_type | {' | '.join(COLUMNS[name] for name in shown)} |",
        f"| --- |{' --- |' * len(shown)}",
        *(f"| {kind} | {' | '.join(_cell(cells.get(name)) for name in shown)} |" for kind, cells in results.items()),
        f"| **right, of {len(results)}** | {' | '.join(_count(name, results) for name in shown)} |",
    ]
    reasons = [
        f"- {kind}, {COLUMNS[name]}: {found['kind']}. {' '.join(str(found['said']).split())}".replace("|", "\\|")
        for kind, cells in results.items()
        for name in shown
        if (found := cells.get(name)) and found["kind"] not in ("right", "wrong")
    ]
    return HEAD + "\n".join([*lines, "", "## Why not", "", *reasons, ""])


def _cell(found: Mapping[str, Any] | None) -> str:
    if found is None:
        return ""
    if found["kind"] not in ("right", "wrong"):
        return "—" if found["kind"] == "refused" else str(found["kind"])
    worst = found["worst"]
    size = "" if worst is None or worst <= 1e-3 else f"{worst:.2g}"
    if found["kind"] == "right":
        return f"✓ ({size})" if size else "✓"
    return f"**{found['texts']}/{found['of']}**" + (f" ({size})" if size else "")


def _count(column: str, results: Mapping[str, Mapping[str, Any]]) -> str:
    return str(sum(cells[column]["kind"] == "right" for cells in results.values() if column in cells))
