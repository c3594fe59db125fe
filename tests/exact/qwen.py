"""A real model of the most used family, in six precisions and as others packaged it: `make qwen` (an hour, 5 GB of disk).

Qwen2.5-Coder-0.5B has what made-up models lack: 151,936 tokens, NFC, a bos that config.json states and nothing adds, a template
with tools, rows of 896. Its artifacts are right, so only the quantization may cost them their verdict: tokens, template,
structure, conversion, decoding and generation must pass, and what a runtime does otherwise must stand as a runtime defect.
The packaged file is told apart from the checkpoint that is made of it, for that is rounded to bfloat16.
The reports go into docs/example-report. EDGECONV_QWEN_TOKENS says on how many tokens (2,000), EDGECONV_QWEN_QUICK=1 that
`validate --quick` is enough (a minute each).
"""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from ..models.qwen25 import packaged_gguf
from ..models.store import default_cache
from .campaign import edgeconv

REPORTS = Path(__file__).parents[2] / "docs" / "example-report"
QUICK = ["--quick"] if os.environ.get("EDGECONV_QWEN_QUICK") == "1" else []
TOKENS = os.environ.get("EDGECONV_QWEN_TOKENS", "2000")
CASES = {
    "openvino-int8": ["openvino", "--precision", "int8"],
    "openvino-int4-g64": ["openvino", "--precision", "int4", "--group-size", "64"],
    "gguf-q8_0": ["gguf", "--type", "q8_0"],
    "gguf-q4_k_m": ["gguf", "--type", "q4_k_m"],
    "onnx-int8": ["onnx", "--precision", "int8"],
    "onnx-int4": ["onnx", "--precision", "int4"],
}
PACKAGED = "packaged-q4_k_m"


@pytest.mark.parametrize("case", [*CASES, PACKAGED])
def test_only_the_quantization_may_fail(case: str, qwen25: Path, tmp_path: Path) -> None:
    out = _artifact(case, qwen25, tmp_path)
    result = validated(out, qwen25, tmp_path / "report", "--max-tokens", TOKENS, *QUICK)
    shutil.copyfile(tmp_path / "report" / "parity.md", REPORTS / f"qwen2.5-{case}.md")
    if case == PACKAGED:
        only_rounded_norms_differ(result)
    else:
        only_quantization_fails(result)


def only_rounded_norms_differ(result: dict[str, Any]) -> None:
    """The checkpoint is the packaged file rounded to bfloat16, which changes its norms in float32: that must be said."""
    failures = [(check["name"], failure) for check in result["rungs"] for failure in check["failures"]]
    assert failures
    assert all(name == "structure" and ("layernorm.weight (f32)" in f or "more" in f) for name, f in failures), failures
    assert all(line["passed"] for line in result["budgets"] if line["decided"])
    assert result["verdict"] == "failed"


def validated(artifact: Path, source: Path, report: Path, *options: str) -> dict[str, Any]:
    """Validate an artifact by the command line, with its report in a folder; return the result."""
    proof = edgeconv("validate", artifact, "--reference", source, *options, "--report", report, "--json")
    assert proof.returncode in (0, 3, 6), proof.stderr
    result: dict[str, Any] = json.loads(proof.stdout)
    return result


def only_quantization_fails(result: dict[str, Any]) -> None:
    """Raise AssertionError if a result fails by anything but a budget of quantization."""
    failures = [
        f"{check['name']}: {f}" for check in result["rungs"] for f in check["failures"] if check["name"] != "logits"
    ]
    assert not failures
    failed = {line["metric"].partition(".")[0] for line in result["budgets"] if not line["passed"] and line["decided"]}
    assert failed <= {"quantisation"}, failed
    assert (result["verdict"] == "failed") == bool(failed)


def _artifact(case: str, source: Path, work: Path) -> Path:
    if case == PACKAGED:
        return packaged_gguf(default_cache())
    form, *options = CASES[case]
    out = work / ("model.gguf" if form == "gguf" else "model")
    made = edgeconv(form, "--model", source, *options, "-o", out)
    assert made.returncode == 0, made.stderr
    return out
