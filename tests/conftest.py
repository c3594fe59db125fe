"""Fixtures that several folders of tests share: models."""

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edgeconv.builtin import model_path
from edgeconv.convert import conversion
from edgeconv.quantize.scheme import Request

from .long import LONG
from .models import qwen25 as qwen25_model
from .models import smollm2, tiny, tiny_v
from .models.store import default_cache

os.environ.setdefault("EDGECONV_SMOKE_TEST", "0")  # thousands of conversions; test_smoke.py asks for it
os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # some tests import onnxruntime themselves
# a shell's background job ignores SIGINT, nohup SIGHUP; so would all that the tests start
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests that `make test` leaves out."""
    for item in items:
        if item.nodeid.startswith(LONG):
            item.add_marker("long")


@pytest.fixture(scope="session")
def builtin_model() -> Path:
    """The built-in checkpoint: a trained GLM of 5.8 M parameters. Read-only: copy it before changing anything."""
    return model_path()


@pytest.fixture(scope="session")
def converted(builtin_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built-in model as the demo converts it. Read-only; a test that uses it is `slow`."""
    output = tmp_path_factory.mktemp("converted") / "int4"
    return conversion.run(conversion.Job(model=str(builtin_model), request=Request("int4"), output=output)).path


@pytest.fixture(scope="session")
def converted_onnx(builtin_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built-in model as `edgeconv onnx` converts it by default. Read-only."""
    output = tmp_path_factory.mktemp("converted") / "onnx"
    return conversion.run(conversion.OnnxJob(str(builtin_model), Request("int4"), output=output)).path


@pytest.fixture(scope="session")
def smollm2_llama() -> Path:
    """SmolLM2-135M-Instruct, a real model of type llama. Read-only; a test that uses it is `slow`."""
    return smollm2.llama_form(default_cache())


@pytest.fixture(scope="session")
def smollm2_glm() -> Path:
    """The same model of type glm. Read-only; a test that uses it is `slow`."""
    return smollm2.glm_form(default_cache())


@pytest.fixture(scope="session")
def qwen25() -> Path:
    """Qwen2.5-Coder-0.5B-Instruct, a real model of type qwen2 (1.26 GB, 470 MB of downloads): for campaigns. Read-only."""
    return qwen25_model.checkpoint(default_cache())


@pytest.fixture(scope="session")
def real_artifacts(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Checkpoints with real tokenizers, and their artifacts (`RealArtifacts`). Read-only."""
    from .validate.real_artifacts import RealArtifacts

    return RealArtifacts(tmp_path_factory.mktemp("real"))


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """A factory of tiny random checkpoints, `tiny_model("qwen2", tie_word_embeddings=True)`: see models/tiny.py.

    The same call gives the same folder for the whole session, so it is read-only: copy it before changing anything.
    """
    made: dict[str, Path] = {}

    def make(model_type: str, **options: Any) -> Path:
        key = repr((model_type, sorted(options.items())))
        if key not in made:
            made[key] = tiny.make(model_type, tmp_path_factory.mktemp(model_type), **options)
        return made[key]

    return make


@pytest.fixture(scope="session")
def tiny_vision_model(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """The same for tiny random GLM-Edge-V checkpoints, `tiny_vision_model(tie_word_embeddings=True)`: see models/tiny_v.py."""
    made: dict[str, Path] = {}

    def make(**options: Any) -> Path:
        key = repr(sorted(options.items()))
        if key not in made:
            made[key] = tiny_v.make_glm_edge_v(tmp_path_factory.mktemp("glm_edge_v"), **options)
        return made[key]

    return make
