"""A tiny random GLM-Edge-V and the built-in model, and what they become without any compression."""

from collections.abc import Callable
from pathlib import Path

import pytest

from edgeconv.convert import conversion
from edgeconv.convert.conversion import OnnxJob, run
from edgeconv.core.progress import Silent
from edgeconv.quantize.scheme import Request


@pytest.fixture(scope="package")
def checkpoint(tiny_vision_model: Callable[..., Path]) -> Path:
    """Read-only."""
    return tiny_vision_model()


@pytest.fixture(scope="package")
def artifact(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """In float32, so that it must do what torch does. Read-only."""
    output = tmp_path_factory.mktemp("vision") / "fp32"
    return conversion.run(conversion.Job(model=str(checkpoint), request=Request("fp32"), output=output), Silent()).path


@pytest.fixture(scope="package")
def onnx_artifact(builtin_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built-in model as ONNX in float32. Read-only."""
    output = tmp_path_factory.mktemp("onnx") / "fp32"
    return run(OnnxJob(str(builtin_model), Request("fp32"), output=output)).path


@pytest.fixture(scope="package")
def vision_onnx_artifact(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The random model that sees as ONNX in float32. Read-only."""
    output = tmp_path_factory.mktemp("onnx") / "vision"
    return run(OnnxJob(str(checkpoint), Request("fp32"), output=output)).path
