"""`validate --bisect` names the operation that was spoilt, in each format and precision, and none where nothing was."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgeconv.builtin import model_path
from edgeconv.convert import conversion
from edgeconv.core.errors import ArtifactError, ConversionError, UsageError
from edgeconv.core.progress import Silent
from edgeconv.quantize.scheme import Request
from edgeconv.validate.bisect.judge import judge
from edgeconv.validate.bisect.measure import Measured, Outputs
from edgeconv.validate.bisect.model import Bisection
from edgeconv.validate.bisect.run import bisect
from edgeconv.validate.formats.gguf import GgufArtifact
from edgeconv.validate.parity import Ask

from ..models.tiny import FAMILIES, TOKENIZER_FILES
from . import planted_graphs as graphs
from .gguf_files import edit_weights, set_key, write
from .planted_layers import GRAPHS, WEIGHTS, Faulty

pytestmark = pytest.mark.slow
LAYERS = 4
PRECISIONS = {
    "openvino": ("bf16", "int8", "int4"),
    "onnx": ("fp32", "int8", "int4"),
    "gguf": ("f32", "q8_0", "q4_0"),
}
CASES = [(kind, precision) for kind, precisions in PRECISIONS.items() for precision in precisions]


@pytest.fixture(autouse=True, scope="module")
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EDGECONV_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


def convert(source: Path, kind: str, precision: str, out: Path) -> Path:
    """Convert to a folder or file that has no manifest."""
    if kind == "gguf":
        return write(source, out.with_suffix(".gguf"), precision)
    job = {"onnx": conversion.OnnxJob, "openvino": conversion.Job}[kind]
    conversion.run(job(str(source), Request(precision), output=out, smoke_test=False), Silent())
    (out / "edgeconv.json").unlink()
    return out


def found(artifact: Path, reference: Path, tokens: int | None = None) -> Bisection:
    return bisect(Ask(artifact, reference=str(reference), max_tokens=tokens))


def first(report: Bisection) -> tuple[int | None, str] | None:
    return (report.first.layer, report.first.name) if report.first else None


@pytest.fixture(scope="module")
def source(tiny_model: Callable[..., Path]) -> Path:
    return tiny_model("llama", num_hidden_layers=LAYERS)


@pytest.fixture(scope="module")
def sound(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, str], Path]:
    made: dict[tuple[str, str], Path] = {}

    def get(kind: str, precision: str) -> Path:
        if (kind, precision) not in made:
            made[kind, precision] = convert(source, kind, precision, tmp_path_factory.mktemp(kind) / "out")
        return made[kind, precision]

    return get


@pytest.fixture(scope="module")
def spoilt(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The checkpoint with another weight than its artifacts have."""
    made: dict[str, Path] = {}

    def get(name: str) -> Path:
        if name not in made:
            made[name] = shutil.copytree(source, tmp_path_factory.mktemp("source") / "spoilt")
            edit_weights(made[name], WEIGHTS[name][0])
        return made[name]

    return get


@pytest.mark.parametrize(("kind", "precision"), CASES)
def test_a_wrong_weight_is_named(
    kind: str, precision: str, sound: Callable[[str, str], Path], spoilt: Callable[[str], Path]
) -> None:
    for name, (_, place) in WEIGHTS.items():
        report = found(sound(kind, precision), spoilt(name))
        assert first(report) == place, (name, report.sentence)
        assert [one for one in report.operations if one.departs] == [report.first], name
        assert "weights are not the checkpoint's" in report.sentence


@pytest.mark.parametrize(("kind", "precision"), [case for case in CASES if case[0] != "gguf"])
@pytest.mark.parametrize("name", GRAPHS)
def test_a_fault_of_the_graph_is_named(
    name: str, kind: str, precision: str, sound: Callable[[str, str], Path], source: Path, tmp_path: Path
) -> None:
    fault, place = GRAPHS[name]
    artifact = graphs.plant(shutil.copytree(sound(kind, precision), tmp_path / "out"), fault)
    report = found(artifact, source)
    assert first(report) == place, report.sentence
    assert [one for one in report.operations if one.departs] == [report.first]
    assert report.first is not None
    assert report.first.computed > 100 * report.first.tolerance


@pytest.mark.parametrize("precision", PRECISIONS["gguf"])
@pytest.mark.parametrize(
    ("fault", "place"), [(0, (None, "embeddings")), (4, (1, "MLP")), (7, (3, "attention")), (9, (None, "final norm"))]
)
def test_a_fault_of_llama_cpp_is_named(
    fault: int,
    place: tuple[int | None, str],
    precision: str,
    sound: Callable[[str, str], Path],
    source: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def load(self: GgufArtifact, device: str, layers: int, progress: Any) -> Faulty:
        with self._in_float32(progress) as whole:
            runtime = Faulty(whole, layers)
        runtime.fault = fault
        return runtime

    monkeypatch.setattr(GgufArtifact, "inner", load)
    report = found(sound("gguf", precision), source)
    assert first(report) == place, report.sentence
    assert [one for one in report.operations if one.departs] == [report.first]


def test_a_key_of_a_gguf_departs_in_every_attention(
    sound: Callable[[str, str], Path], source: Path, tmp_path: Path
) -> None:
    file = Path(shutil.copy(sound("gguf", "f32"), tmp_path / "a.gguf"))
    set_key(file, "llama.rope.freq_base", 500.0)
    report = found(file, source)
    assert [(one.layer, one.name) for one in report.operations if one.departs] == [
        (layer, "attention") for layer in range(LAYERS)
    ]
    assert "3 more depart on their own" in report.sentence


# Of each family every form that edgeconv writes; local and global layers as llama.cpp reads them.
OPTIONS: dict[str, dict[str, Any]] = {"gemma3_text": {"layer_types": ["full_attention"] * 3}}


@pytest.mark.parametrize("kind", PRECISIONS)
@pytest.mark.parametrize("family", FAMILIES)
def test_a_sound_artifact_has_no_culprit(
    family: str, kind: str, tiny_model: Callable[..., Path], tmp_path: Path
) -> None:
    source = tiny_model(family, **OPTIONS.get(family, {}))
    whole, _, few = PRECISIONS[kind]
    for precision in (whole, few):
        report = found(convert(source, kind, precision, tmp_path / precision), source)
        assert report.verdict == "sound", report.sentence
        assert report.sentence.startswith("No layer departs by more than its neighbors")
        assert all(one.computed < one.tolerance / 20 for one in report.operations if one.layer is not None)
        rounded = [one.weights for one in report.operations if one.layer is not None]
        looked_up = (family, kind) == ("gemma3_text", "gguf")  # GELU, in a table of float16
        assert max(rounded) < (1e-3 if looked_up else 1e-9) if precision == whole else max(rounded) > 0.01


BEST = {"openvino": "int4", "onnx": "int4", "gguf": "q4_k_m"}


@pytest.mark.parametrize("kind", BEST)
def test_real_weights_have_no_culprit(kind: str, builtin_model: Path, tmp_path: Path) -> None:
    report = found(convert(builtin_model, kind, BEST[kind], tmp_path / "out"), builtin_model)
    assert report.verdict == "sound", report.sentence
    assert max(one.computed / one.tolerance for one in report.operations) < 0.1


@pytest.mark.parametrize("kind", BEST)
def test_a_large_real_model_has_no_culprit_and_a_planted_one_is_named(
    kind: str, smollm2_llama: Path, tmp_path: Path
) -> None:
    artifact = convert(smollm2_llama, kind, BEST[kind], tmp_path / "out")
    report = found(artifact, smollm2_llama)
    assert report.verdict == "sound", report.sentence
    other = shutil.copytree(smollm2_llama, tmp_path / "spoilt")
    edit_weights(other, _exchange_heads)
    report = found(artifact, other)
    assert first(report) == (17, "attention"), report.sentence


def _exchange_heads(tensors: dict[str, Any]) -> None:
    name = "model.layers.17.self_attn.q_proj.weight"
    tensors[name] = tensors[name].roll(64, 0)


@pytest.mark.parametrize("kind", ["openvino", "onnx"])
def test_the_language_half_of_a_model_that_sees(
    kind: str, tiny_vision_model: Callable[..., Path], tmp_path: Path
) -> None:
    source = tiny_vision_model()
    artifact = convert(source, kind, "int4", tmp_path / "out")
    assert found(artifact, source).verdict == "sound"
    other = shutil.copytree(source, tmp_path / "spoilt")
    edit_weights(other, lambda tensors: tensors.update({_DOWN: tensors[_DOWN].roll(1, 0)}))
    assert first(found(artifact, other)) == (1, "MLP")


_DOWN = "model.layers.1.mlp.down_proj.weight"


def test_the_language_half_of_a_gguf_that_sees(tiny_vision_model: Callable[..., Path], tmp_path: Path) -> None:
    source = tiny_vision_model()
    report = found(write(source, tmp_path / "a.gguf", "q4_0"), source)
    assert report.verdict == "sound", report.sentence


def test_what_a_graph_of_another_form_is_refused_for(
    sound: Callable[[str, str], Path], tiny_model: Callable[..., Path]
) -> None:
    deeper = tiny_model("llama", num_hidden_layers=LAYERS + 1)
    for kind, (precision, *_) in PRECISIONS.items():
        with pytest.raises(ArtifactError, match=f"{2 * LAYERS} sums that every token passes; {LAYERS + 1} layers"):
            found(sound(kind, precision), deeper)


def test_more_tokens_than_the_suite_has(sound: Callable[[str, str], Path], source: Path) -> None:
    with pytest.raises(UsageError, match="were asked for"):
        found(sound("openvino", "bf16"), source, 10_000_000)
    for asked in (5, 600, 2000):
        assert found(sound("openvino", "bf16"), source, asked).tokens == asked


TRACED = (("cohere", "onnx"), ("granitemoehybrid", "openvino"), ("gpt_oss", "openvino"))
"""Attention and MLP side by side; states; experts. Graphs that torch's exporters and optimum's have named."""


@pytest.mark.parametrize(("family", "kind"), TRACED)
def test_a_traced_graph(family: str, kind: str, tiny_model: Callable[..., Path], tmp_path: Path) -> None:
    source = tiny_model(family)
    artifact = convert(source, kind, PRECISIONS[kind][0], tmp_path / "out")
    report = found(artifact, source)
    assert report.verdict == "sound", report.sentence
    names = [(one.layer, one.name) for one in report.operations if one.layer is not None]
    first_of = {"granitemoehybrid": ["state space", "attention"]}.get(family, ["attention", "attention"])
    if family == "cohere":
        assert names == [(0, "attention and MLP"), (1, "attention and MLP")]
    else:
        assert names == [(layer, name) for layer in (0, 1) for name in (first_of[layer], "MLP")]
    other = shutil.copytree(source, tmp_path / "spoilt")
    edit_weights(other, lambda tensors: tensors.update({_QUERY: tensors[_QUERY].roll(16, 0)}))
    assert first(found(artifact, other)) == next(name for name in names if name[0] == 1)


_QUERY = "model.layers.1.self_attn.q_proj.weight"


def test_what_is_no_number_departs() -> None:
    one = Measured(0, "MLP", frozenset(["mlp"]))
    states, spoilt = np.ones((3, 4), np.float32), np.full((3, 4), np.nan, np.float32)
    one.take(Outputs(0.0, states, states, states, states, states))
    assert not judge([one], {})[0].departs
    one.take(Outputs(0.0, spoilt, states, states, states, states))
    assert judge([one], {})[0].departs


def test_a_reference_that_cannot_run_by_layers_is_refused(sound: Callable[[str, str], Path], tmp_path: Path) -> None:
    from transformers import BertGenerationConfig, BertGenerationDecoder

    source = tmp_path / "source"
    config = BertGenerationConfig(
        num_hidden_layers=2,
        num_attention_heads=2,
        hidden_size=32,
        intermediate_size=32,
        vocab_size=4096,
        is_decoder=True,
    )
    BertGenerationDecoder(config).save_pretrained(source)
    for name in TOKENIZER_FILES:
        shutil.copyfile(model_path() / name, source / name)
    with pytest.raises(ConversionError, match="cannot be run layer by layer"):
        found(sound("onnx", "fp32"), source)
