"""`--smoke-test` and `--no-smoke-test` of the commands that convert, and what they say of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from .conftest import Command


@pytest.mark.parametrize("target", ["openvino", "gguf", "onnx"])
def test_plan_and_result_say_it(
    target: str, edgeconv: Command, tiny_model: Callable[..., Path], tmp_path: Path
) -> None:
    common = (target, "-m", tiny_model("llama"), "-o", tmp_path / "out", "--json", "-p", "int8")
    assert edgeconv(*common, "--smoke-test", "--dry-run").data["smoke_test"]["status"] == "planned"
    done = edgeconv(*common, "--no-smoke-test").data["smoke_test"]
    assert done == {"status": "skipped", "runtimes": [], "reason": "not asked for", "seconds": 0.0}
