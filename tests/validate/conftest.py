from pathlib import Path

import pytest

from edgeconv.convert import conversion
from edgeconv.convert import conversion as pipeline
from edgeconv.core.progress import Silent
from edgeconv.quantize.scheme import Request


@pytest.fixture(scope="session")
def converted(builtin_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built-in model as the demo converts it. Read-only; a test that uses it is `slow`."""
    output = tmp_path_factory.mktemp("converted") / "int4"
    return pipeline.run(pipeline.Job(model=str(builtin_model), request=Request("int4"), output=output), Silent()).path


@pytest.fixture(scope="session")
def converted_onnx(builtin_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built-in model as `edgeconv onnx` converts it by default. Read-only."""
    output = tmp_path_factory.mktemp("converted") / "onnx"
    return conversion.run(conversion.OnnxJob(str(builtin_model), Request("int4"), output=output)).path
