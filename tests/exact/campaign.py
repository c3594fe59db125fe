"""Exact artifacts must pass: `make exact`, which hands this file to pytest. A proof with false alarms is switched off.

Every family of tests/models/tiny.py, those of the trace engines too, and every real tokenizer under a checkpoint of its family
(tests/models), is converted without loss to each format, tried in its runtime and validated whole, by the command line. A format
that refuses a model must say so with an error of edgeconv (exit code 1), as for a Gemma 3 without its sixth layer, over which
llama.cpp falls; whatever was written must not fail. The figures go into docs/reliability.json, with what a refusal says and which
figures stayed undecided: experts that random weights choose by a hair are chosen otherwise in bfloat16, in some texts.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import pytest

from ..models import real_tokenizers, tiny
from ..reliability import before, record

FORMATS = {"openvino": "bf16", "gguf": "fp32", "onnx": "fp32"}
TOKENS = 600
WHOLE_PATTERN = "gemma3_text of six layers"
CASES = [
    *(f"family {name}" for name in (*tiny.FAMILIES, *tiny.FURTHER, WHOLE_PATTERN)),
    *(f"tokenizer {name}" for name in real_tokenizers.REAL),
]
_seen: dict[str, dict[str, str]] = defaultdict(dict)
_said: dict[str, dict[str, str]] = defaultdict(dict)


def edgeconv(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-P", "-m", "edgeconv", *map(str, arguments)]
    usual = {**os.environ, "EDGECONV_SMOKE_TEST": "1"}  # the tests' own default leaves the trial in the runtime out
    return subprocess.run(command, capture_output=True, text=True, check=False, env=usual)


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return {}


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("case", CASES)
def test_an_exact_artifact_passes(
    case: str, form: str, sources: dict[str, Path], tmp_path_factory: pytest.TempPathFactory, tmp_path: Path
) -> None:
    if case not in sources:
        kind, _, name = case.partition(" ")
        folder = tmp_path_factory.mktemp(name)
        sources[case] = _family(name, folder) if kind == "family" else real_tokenizers.checkpoint(name, folder)
    outcome, said = _outcome(sources[case], form, tmp_path)
    _seen[case][form] = outcome
    _said[case][form] = said if outcome in ("refused", "undecided") else ""
    _record()
    assert outcome != "false alarm", said
    assert outcome != "crash", said


def _family(name: str, folder: Path) -> Path:
    if name == WHOLE_PATTERN:
        return tiny.make("gemma3_text", folder, **real_tokenizers.GEMMA_LAYERS)
    return tiny.make(name, folder)


def _outcome(source: Path, form: str, work: Path) -> tuple[str, str]:
    out = work / ("model.gguf" if form == "gguf" else "model")
    made = edgeconv(form, "--model", source, "--precision", FORMATS[form], "-o", out)
    if made.returncode:
        reason = next((line[7:] for line in made.stderr.splitlines() if line.startswith("error: ")), None)
        refused = made.returncode == 1 and reason and "Unexpected" not in made.stderr
        return ("refused", reason) if refused and reason else ("crash", made.stderr)
    proof = edgeconv("validate", out, "--reference", source, "--max-tokens", str(TOKENS), "--json")
    if proof.returncode == 0:
        return "passed", ""
    if proof.returncode not in (3, 6):
        return "crash", proof.stderr
    result: dict[str, Any] = json.loads(proof.stdout)
    if proof.returncode == 6:
        return "undecided", ", ".join(line["metric"] for line in result["budgets"] if not line["decided"])
    failures = [f"{one['name']}: {failure}" for one in result["rungs"] for failure in one["failures"]]
    failures += [f"{line['metric']}: {line['value']}" for line in result["budgets"] if not line["passed"]]
    return "false alarm", "\n".join(failures)


def _record() -> None:
    cases, said = (
        {case: {**old.get(case, {}), **new.get(case, {})} for case in sorted({*old, *new})}
        for old, new in ((before("exact").get("cases", {}), _seen), (before("exact").get("said", {}), _said))
    )
    said = {
        case: kept for case, forms in said.items() if (kept := {form: text for form, text in forms.items() if text})
    }
    counted = {form: Counter(seen[form] for seen in cases.values() if form in seen) for form in FORMATS}
    names = ("passed", "undecided", "false alarm", "crash", "refused")
    formats = {form: {name.replace(" ", "_"): found[name] for name in names} for form, found in counted.items()}
    record("exact", {"tokens": TOKENS, "formats": formats, "cases": cases, "said": said})
