"""The reports that README and docs/validation.md show, made anew into docs/example-report: `make examples` (half an hour).

Each is the whole parity suite on the default suite. What quantization costs a model is in its verdict; nothing else may fail.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from edgeconv.builtin import model_path

from ..models import smollm2
from ..models.store import default_cache
from .campaign import edgeconv
from .qwen import REPORTS, only_quantization_fails, validated

SOURCES = {
    "built-in": model_path,
    "vision": lambda: model_path().parent / "glm_edge_v_tiny",
    "smollm2-glm": lambda: smollm2.glm_form(default_cache()),
    "smollm2-llama": lambda: smollm2.llama_form(default_cache()),
}
CASES = {
    "parity": ("built-in", ["openvino", "--precision", "int4"], ("md", "html")),
    "glm-edge-v-tiny-int4": ("vision", ["openvino", "--precision", "int4"], ("md",)),
    "glm-edge-v-tiny-q4_k_m": ("vision", ["gguf", "--type", "q4_k_m"], ("md",)),
    "smollm2-glm-int4": ("smollm2-glm", ["openvino", "--precision", "int4"], ("md", "html")),
    "smollm2-glm-int8": ("smollm2-glm", ["openvino", "--precision", "int8"], ("md",)),
    "smollm2-llama-int4": ("smollm2-llama", ["openvino", "--precision", "int4"], ("md",)),
    "smollm2-llama-int8": ("smollm2-llama", ["openvino", "--precision", "int8"], ("md",)),
}


@pytest.mark.parametrize("case", CASES)
def test_example(case: str, tmp_path: Path) -> None:
    source, (form, *options), kinds = CASES[case]
    reference = SOURCES[source]()
    name = f"{reference.name}-{options[-1]}"  # the report's title has it
    out = tmp_path / (f"{reference.name}-{options[-1].upper()}.gguf" if form == "gguf" else name)
    made = edgeconv(form, "--model", reference, *options, "-o", out)
    assert made.returncode == 0, made.stderr
    result = validated(out, reference, tmp_path / "report")
    for kind in kinds:
        shutil.copyfile(tmp_path / "report" / f"parity.{kind}", REPORTS / f"{case}.{kind}")
    only_quantization_fails(result)
