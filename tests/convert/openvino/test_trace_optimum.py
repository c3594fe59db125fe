"""The trace engine's .bin beside that of optimum-intel itself, which writes a full-precision IR first and has NNCF read it."""

from __future__ import annotations

import contextlib
import io
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edgeconv.convert.open_checkpoint import open_checkpoint
from edgeconv.convert.openvino import trace
from edgeconv.core.progress import Silent
from edgeconv.quantize.scheme import Request, resolve

SIZE = {"hidden_size": 256, "intermediate_size": 384, "head_dim": 64}
TASK = "text-generation-with-past"
MODELS = {
    "llama": ("llama", {}),
    "qwen2, tied": ("qwen2", {"tie_word_embeddings": True}),
    "phi3, float16": ("phi3", {"dtype": "float16"}),
    "llama, float32": ("llama", {"dtype": "float32"}),
}
SCHEMES: dict[str, tuple[Request, dict[str, Any] | None]] = {
    "bf16": (Request("bf16"), None),
    "int8": (Request("int8"), {"bits": 8, "sym": False}),
    "int4 sym g128": (
        Request("int4", sym=True, group_size=128),
        {"bits": 4, "sym": True, "group_size": 128, "ratio": 1.0},
    ),
    "int4 asym g64 r0.8": (
        Request("int4", group_size=64, ratio=0.8),
        {"bits": 4, "sym": False, "group_size": 64, "ratio": 0.8},
    ),
    "int4 sym per row r0.6 all layers": (
        Request("int4", sym=True, group_size=-1, ratio=0.6, all_layers=True),
        {"bits": 4, "sym": True, "group_size": -1, "ratio": 0.6, "all_layers": True},
    ),
    "nf4": (Request("nf4"), {"bits": 4, "dtype": "nf4", "group_size": 128, "ratio": 1.0}),
}


@pytest.fixture(scope="module")
def full_ir(tiny_model: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """optimum-intel's uncompressed IR of a model."""
    made: dict[str, Path] = {}

    def make(name: str) -> Path:
        if name not in made:
            model_type, overrides = MODELS[name]
            made[name] = tmp_path_factory.mktemp("optimum")
            _export(tiny_model(model_type, **SIZE, **overrides), made[name])
        return made[name]

    return make


@pytest.mark.slow
@pytest.mark.parametrize("ratio", [0.8, 0.6])
def test_bin_of_real_weights_is_optimums(ratio: float, smollm2_llama: Path, tmp_path: Path) -> None:
    """Rows of 576, which 128 does not divide, and the choice of layers on weights that were trained."""
    theirs = tmp_path / "theirs"
    _export(smollm2_llama, theirs)
    choices = {"group_size": 128, "group_size_fallback": "adjust", "ratio": ratio}
    _quantize(smollm2_llama, theirs, {"bits": 4, "sym": True, **choices})
    ours = tmp_path / "ours"
    ours.mkdir()
    scheme = resolve(Request("int4", sym=True, ratio=ratio))
    trace.export(open_checkpoint(smollm2_llama), scheme, ours, progress=Silent())
    assert (ours / "openvino_model.bin").read_bytes() == (theirs / "openvino_model.bin").read_bytes()


@pytest.mark.parametrize(
    ("name", "scheme"),
    [(name, scheme) for name in MODELS for scheme in (SCHEMES if name == "llama" else ("int8", "int4 sym g128"))],
)
def test_bin_is_optimums(
    name: str,
    scheme: str,
    full_ir: Callable[[str], Path],
    tiny_model: Callable[..., Path],
    tmp_path: Path,
) -> None:
    model_type, overrides = MODELS[name]
    request, quantization = SCHEMES[scheme]
    source = tiny_model(model_type, **SIZE, **overrides)
    theirs = full_ir(name)
    if quantization is not None:
        theirs = shutil.copytree(theirs, tmp_path / "theirs")
        _quantize(source, theirs, quantization)
    ours = tmp_path / "ours"
    ours.mkdir()
    trace.export(open_checkpoint(source), resolve(request), ours, progress=Silent())
    assert (ours / "openvino_model.bin").read_bytes() == (theirs / "openvino_model.bin").read_bytes()


def _export(source: Path, folder: Path) -> None:
    from edgeconv.core.telemetry import silence_telemetry

    silence_telemetry()
    from optimum.exporters.openvino import main_export

    main_export(str(source), folder, task=TASK, convert_tokenizer=False, library_name="transformers")


def _quantize(source: Path, folder: Path, quantization: dict[str, Any]) -> None:
    """Compress an IR in place, as `optimum-cli export openvino --weight-format …` does in its second step."""
    from optimum.exporters.openvino.__main__ import _main_quantize
    from optimum.intel.openvino.configuration import OVWeightQuantizationConfig

    with contextlib.redirect_stdout(io.StringIO()):
        _main_quantize(str(source), TASK, "transformers", OVWeightQuantizationConfig(**quantization), folder, "")
