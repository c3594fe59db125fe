"""Faults inside a model that has experts, or states: each kind in each format that can have it.

What a weight should be is the checkpoint's, so a sound artifact beside a checkpoint in which two tensors changed places is an
artifact in which they did: it is converted once, and each fault is planted into a copy of its reference.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgeconv.convert import conversion
from edgeconv.convert.open_checkpoint import open_checkpoint
from edgeconv.core.progress import Silent
from edgeconv.quantize.scheme import Request
from edgeconv.runtimes.base import Runtime
from edgeconv.runtimes.llama_cpp import LlamaCppRuntime
from edgeconv.runtimes.onnxruntime import OnnxRuntime
from edgeconv.runtimes.openvino import OpenVINORuntime
from edgeconv.validate.checks import decode
from edgeconv.validate.formats import open_artifact
from edgeconv.validate.loaded_names import as_loaded
from edgeconv.validate.report.model import Check

from . import planted_cells as cells
from . import planted_graphs as graphs
from .gguf_files import edit_weights, write

pytestmark = pytest.mark.slow
Tensors = dict[str, Any]
_EXACT = Request("bf16")
ROWS = [np.random.default_rng(7).integers(5, 4000, 24).tolist()]


def openvino(source: Path, out: Path, scheme: Request = _EXACT, engine: str = "auto") -> Path:
    job = conversion.Job(str(source), scheme, output=out, engine=engine, smoke_test=False)
    return conversion.run(job, Silent()).path


def onnx_model(source: Path, out: Path) -> Path:
    return conversion.run(conversion.OnnxJob(str(source), Request("fp32"), output=out, smoke_test=False)).path


def gguf(source: Path, out: Path) -> Path:
    return write(source, out.with_suffix(".gguf"), "f32")


CONVERT = {"openvino": openvino, "onnx": onnx_model, "gguf": gguf}


# Weights: each changes a checkpoint.


def swap(tensors: Tensors, one: str, other: str) -> None:
    """Exchange two tensors of one shape, which must differ."""
    assert tensors[one].shape == tensors[other].shape
    assert (tensors[one] != tensors[other]).any(), (one, other)
    tensors[one], tensors[other] = tensors[other].clone(), tensors[one].clone()


_LAYER = "model.layers.0."
_DOWN = r"(down_proj|w2|output_linear)(\.weight)?$"
_ROUTER = r"(mlp\.gate|block_sparse_moe\.gate|router|router\.layer)\.(weight|bias)$"


def of_experts(tensors: Tensors) -> tuple[list[str], list[str]]:
    """The names of the first layer's expert tensors: one for each expert, or one for all, in which they are the first axis."""
    own = [name for name in tensors if name.startswith(_LAYER) and re.search(r"experts\.\d+\.", name)]
    routed = next(tensors[name].shape[0] for name in tensors if name.startswith(_LAYER) and re.search(_ROUTER, name))
    stacked = [
        name
        for name, tensor in tensors.items()
        if name.startswith(_LAYER) and re.search(r"experts|_linear", name) and tensor.shape[0] == routed
    ]
    stacked = [name for name in stacked if name not in own and "shared" not in name]
    assert own or stacked, sorted(tensors)
    return own, stacked


def two_experts(tensors: Tensors) -> None:
    """Two experts of a layer change places; the router stays."""
    own, stacked = of_experts(tensors)
    for name in own:
        if "experts.0." in name:
            swap(tensors, name, name.replace("experts.0.", "experts.1."))
    for name in stacked:
        tensors[name] = tensors[name][[1, 0, *range(2, len(tensors[name]))]].contiguous()


def down_of_another_layer(tensors: Tensors) -> None:
    """The last product of one expert is that of the next layer's expert."""
    own, stacked = of_experts(tensors)
    other = "model.layers.1."
    for name in own:
        if "experts.1." in name and re.search(_DOWN, name):
            swap(tensors, name, name.replace(_LAYER, other))
            return
    name = next(name for name in stacked if re.search(_DOWN, name))
    tensors[name] = tensors[name].clone()
    tensors[name][1] = tensors[name.replace(_LAYER, other)][1]


def router_permuted(tensors: Tensors) -> None:
    """Each expert is chosen where its neighbor should be."""
    names = [name for name in tensors if name.startswith(_LAYER) and re.search(_ROUTER, name)]
    assert names, sorted(tensors)
    for name in names:
        tensors[name] = tensors[name].roll(1, 0).contiguous()


STATE = f"{_LAYER}mamba"


def decays_and_skips(tensors: Tensors) -> None:
    """A_log and D have one shape."""
    swap(tensors, f"{STATE}.A_log", f"{STATE}.D")


def channels_reversed(tensors: Tensors) -> None:
    """The channels of a convolution have one size."""
    tensors[f"{STATE}.conv1d.weight"] = tensors[f"{STATE}.conv1d.weight"].flip(0).contiguous()


def convolution_of_another_layer(tensors: Tensors) -> None:
    swap(tensors, f"{STATE}.conv1d.weight", f"{STATE}.conv1d.weight".replace(_LAYER, "model.layers.1."))


@dataclass(frozen=True)
class Model:
    """A checkpoint: a family of `tests/models/tiny.py` with options, and what its random weights need."""

    family: str
    options: dict[str, Any] = field(default_factory=dict)
    prepare: Callable[[Tensors], None] | None = None


def distinct(tensors: Tensors) -> None:
    """New models have D of ones and A_log of numbers near them in every layer alike."""
    for name in tensors:
        if name.endswith("mamba.D"):
            tensors[name] = tensors[name] * 0.5


HYBRID = Model(
    "granitemoehybrid", {"num_hidden_layers": 3, "layer_types": ["mamba", "mamba", "attention"]}, prepare=distinct
)
SEPARATE, STACKED, TURNED = Model("qwen3_moe"), Model("granitemoe"), Model("gpt_oss")
"""An expert has tensors of its own; all have one; it lies the other way round, with biases."""
PLAIN = Model("llama")

# Kinds of faults of weights: what changes → the models that have it, and the place that the check must name.
WEIGHTS: dict[Callable[[Tensors], None], tuple[tuple[Model, ...], str]] = {
    two_experts: ((SEPARATE, STACKED, TURNED, HYBRID), r"experts|_linear"),
    down_of_another_layer: ((SEPARATE, STACKED, TURNED, HYBRID), r"down_proj|output_linear"),
    router_permuted: ((SEPARATE, STACKED, TURNED, HYBRID), r"router|gate"),
    decays_and_skips: ((HYBRID,), r"mamba\.(A_log|D)"),
    channels_reversed: ((HYBRID,), r"mamba\.conv1d"),
    convolution_of_another_layer: ((HYBRID,), r"mamba\.conv1d"),
}
STATELESS = {("gguf", "granitemoehybrid")}
"""llama.cpp keeps such states itself, in memory of another form than its cells: test_planted_states plants faults into files."""
# Kinds of faults of the cache, by format. llama.cpp's cache is the engine's, not the file's: the fault is planted there.
KEYS, CONVOLVED = 2, 2
"""The axis of positions: [batch, heads, position, width] and [batch, channel, position]."""
STATES: dict[str, tuple[Model, dict[str, Any]]] = {
    "keys and values of another layer": (
        PLAIN,
        dict.fromkeys(("openvino", "onnx"), graphs.of_another_layer("key", "value")) | {"gguf": cells.of_another_layer},
    ),
    "keys one place late": (
        PLAIN,
        dict.fromkeys(("openvino", "onnx"), graphs.one_late("key", KEYS)) | {"gguf": cells.one_late},
    ),
    "convolution states of another layer": (
        HYBRID,
        dict.fromkeys(("openvino", "onnx"), graphs.of_another_layer("conv")),
    ),
    "convolution states one place late": (
        HYBRID,
        dict.fromkeys(("openvino", "onnx"), graphs.one_late("conv", CONVOLVED)),
    ),
    "recurrent states of another layer": (
        HYBRID,
        dict.fromkeys(("openvino", "onnx"), graphs.of_another_layer("ssm")),
    ),
}


@pytest.fixture(scope="module")
def source(tiny_model: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Callable[[Model], Path]:
    known: dict[str, Path] = {}

    def make(model: Model) -> Path:
        if model.family not in known:
            folder = tmp_path_factory.mktemp(model.family) / "source"
            shutil.copytree(tiny_model(model.family, **model.options), folder)
            if model.prepare:
                edit_weights(folder, model.prepare)
            known[model.family] = folder
        return known[model.family]

    return make


@pytest.fixture(scope="module")
def sound(source: Callable[[Model], Path], tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, Model], Path]:
    """Converts each model to each format once, and leaves its manifest out. Read-only."""
    known: dict[tuple[str, str], Path] = {}

    def make(kind: str, model: Model) -> Path:
        if (kind, model.family) not in known:
            made = CONVERT[kind](source(model), tmp_path_factory.mktemp(kind) / "out")
            if made.is_dir():
                (made / "edgeconv.json").unlink()
            known[kind, model.family] = made
        return known[kind, model.family]

    return make


def structure(artifact: Path, reference: Path) -> Check:
    checkpoint, opened = as_loaded(open_checkpoint(reference)), open_artifact(artifact)
    return opened.structure(checkpoint, opened.weights(checkpoint), Silent())


MODELS = (SEPARATE, STACKED, TURNED, HYBRID)


@pytest.mark.parametrize(
    ("kind", "model"),
    [(kind, model) for kind in CONVERT for model in MODELS],
    ids=lambda one: one if isinstance(one, str) else one.family,
)
def test_a_fault_of_the_weights(
    kind: str,
    model: Model,
    source: Callable[[Model], Path],
    sound: Callable[[str, Model], Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("EDGECONV_CACHE", str(tmp_path / "cache"))
    artifact = sound(kind, model)
    assert structure(artifact, source(model)).failures == []
    faults = {fault: place for fault, (models, place) in WEIGHTS.items() if model in models}
    assert faults
    for fault, place in faults.items():
        reference = shutil.copytree(source(model), tmp_path / fault.__name__)
        edit_weights(reference, fault)
        failures = structure(artifact, reference).failures
        assert any(re.search(rf"layers\.0\..*({place})", said) for said in failures), (fault.__name__, failures)


@pytest.mark.parametrize("precision", ["int4", "nf4"])
def test_exchanged_experts_of_few_bits(
    precision: str, source: Callable[[Model], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a trace, which parts a stack, what de-quantizes a constant, ours and NNCF's, stands between it and its product."""
    monkeypatch.setenv("EDGECONV_CACHE", str(tmp_path / "cache"))
    artifact = openvino(source(STACKED), tmp_path / "out", Request(precision, group_size=32), "trace")
    assert structure(artifact, source(STACKED)).failures == []
    reference = shutil.copytree(source(STACKED), tmp_path / "reference")
    edit_weights(reference, two_experts)
    failures = structure(artifact, reference).failures
    stacks = ("input_linear", "output_linear")
    assert [one for one in failures if "changed places" in one] == [
        f"model.layers.0.block_sparse_moe.{name}.weight: its matrices (experts) changed places: 1 in the place of 0, 0 in "
        "the place of 1."
        for name in stacks
    ], failures


def test_every_format_has_each_kind_or_a_reason() -> None:
    for name, (model, formats) in STATES.items():
        missing = set(CONVERT) - set(formats)
        assert missing == {kind for kind, family in STATELESS if family == model.family}, name


def opened(artifact: Path) -> Runtime:
    if artifact.suffix == ".gguf":
        return LlamaCppRuntime(artifact)
    return OnnxRuntime(artifact) if (artifact / "model.onnx").is_file() else OpenVINORuntime(artifact)


def spoilt(artifact: Path, fault: Any, to: Path) -> Runtime:
    """The runtime of a copy with a fault; llama.cpp's with one while it runs."""
    if artifact.suffix != ".gguf":
        return opened(graphs.plant(shutil.copytree(artifact, to), fault))
    runtime = cells.Tampered(artifact)
    runtime.fault = fault
    return runtime


def test_cells_are_read_and_written_as_they_are(sound: Callable[[str, Model], Path]) -> None:
    runtime = cells.Tampered(sound("gguf", PLAIN))
    runtime.fault = lambda _: None
    assert decode.cached(runtime, ROWS, Silent()).failure is None


@pytest.mark.parametrize("kind", CONVERT)
@pytest.mark.parametrize("name", STATES)
def test_a_fault_of_the_cache(name: str, kind: str, sound: Callable[[str, Model], Path], tmp_path: Path) -> None:
    model, formats = STATES[name]
    if kind not in formats:
        assert (kind, model.family) in STATELESS
        return
    artifact = sound(kind, model)
    untouched = opened(artifact)
    expected = np.concatenate([made.copy() for made in untouched.logits(ROWS[0])])
    assert decode.cached(untouched, ROWS, Silent()).failure is None
    runtime = spoilt(artifact, formats[kind], tmp_path / "out")
    alone = np.concatenate([made.copy() for made in runtime.logits(ROWS[0])])
    assert np.abs(alone - expected).max() < 1e-4, "a prefill of one text shows nothing of it"
    part = decode.cached(runtime, ROWS, Silent())
    assert part.failure is not None, part
    assert decode.as_check([part], 0.0).status == "failed"
