"""Encoders are validated by states, vectors, ranks and scores: a right one passes, planted faults fail."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
from typer.testing import CliRunner

from edgeconv.cli.app import app
from edgeconv.convert import encoders
from edgeconv.convert.gguf import dense, export
from edgeconv.convert.gguf import encoders as gguf_encoders
from edgeconv.convert.gguf_held import Held
from edgeconv.convert.gguf_values import boolean, f32, u32
from edgeconv.core.errors import CheckpointError
from edgeconv.validate.encoders.figures import spearman
from edgeconv.validate.parity import Ask, validate

from ..models import tiny_encoder

TOKENS = 1500
FLOATS = {"openvino": ("-p", "fp32"), "onnx": ("-p", "fp32"), "gguf": ("-t", "f32")}
"""Format → what asks for float32."""
FORMATS = ("openvino", "onnx")
"""Those that take every encoder."""
STATES = ("qwen3", "gemma3_text")
"""Decoders whose states embed a text."""
LLAMA_CPP = (("qwen3", 0), ("bert", 0), ("modernbert", 0), ("embeddinggemma", 0), ("e5", 0))
"""Those that llama.cpp has, and that are written for it."""
CASES = [*((kind, scores) for kind in tiny_encoder.ENCODERS for scores in (0, 1)), *((kind, 0) for kind in STATES)]


def convert(form, source, out, *flags):
    line = [form, "--model", str(source), *(flags or FLOATS[form]), "--output", str(out), "--quiet", "--no-smoke-test"]
    done = CliRunner().invoke(app, line)
    assert done.exit_code == 0, done.output
    return out


def measured(out, **more):
    return validate(Ask(out, max_tokens=TOKENS, **more))


def failed(report):
    return {check.name: check.failures for check in report.rungs if check.status == "failed"}


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    made = {}

    def get(kind, scores=0):
        if (kind, scores) not in made:
            folder = tmp_path_factory.mktemp("encoder") / f"{kind}-{scores}"
            if kind in STATES:
                made[kind, scores] = tiny_encoder.make_states(kind, folder)
            elif kind == "embeddinggemma":
                made[kind, scores] = tiny_encoder.make_states("gemma3_text", folder, **tiny_encoder.SIX)
            elif kind == "e5":
                pooling = tiny_encoder.MEAN
                made[kind, scores] = tiny_encoder.make("xlm-roberta", folder, sentencepiece=True, pooling=pooling)
            else:
                made[kind, scores] = tiny_encoder.make(kind, folder, scores=scores, pooling=tiny_encoder.MEAN)
        return made[kind, scores]

    return get


@pytest.mark.parametrize(
    ("kind", "scores", "form"),
    [*((*case, form) for case in CASES for form in FORMATS), *((*case, "gguf") for case in LLAMA_CPP)],
)
def test_a_right_one_passes(sources, tmp_path, kind, form, scores):
    report = measured(convert(form, sources(kind, scores), tmp_path / ("out.gguf" if form == "gguf" else "out")))
    # openvino_tokenizers' Unigram takes neighboring characters without a token for one
    assert set(failed(report)) <= ({"tokens"} if (kind, form) == ("xlm-roberta", "openvino") else set())
    # eight questions to a random model may be too few to tell what bfloat16 does to their order
    lines = [line for line in report.budgets if not line.metric.startswith("runtime.")]
    table = form == "gguf" and kind != "qwen3"  # llama.cpp's GELU, by a table of its tanh form
    assert all(line.passed or (table and not line.decided) for line in lines), lines
    own = next(one for one in report.comparisons if one.name == "conversion").figures
    assert own["max_abs_logit" if scores else "max_abs_state"].value < (5e-3 if table else 1e-4)
    statuses = {check.name: check.status for check in report.rungs}
    assert statuses["padding"] == "passed"
    assert statuses["pipeline"] == ("passed" if form == "openvino" else "skipped")


def _layers(form):
    if form == "openvino":
        from edgeconv.convert.openvino.stream_layers import Layers
    else:
        from edgeconv.convert.onnx.layers import Layers
    return Layers


FAULTS = {
    "positions from 1 on": ("bert", 0, "places", lambda right: lambda self, ids: _plus_one(self, right(self, ids))),
    "the mask is ignored": (
        "bert", 0, "sight", lambda right: lambda self, ids, mask, reach=None: right(self, ids, _seen(self, mask), reach),
    ),
    "GELU by its tanh": (
        "bert", 0, "activate", lambda right: lambda self, states, kind: right(self, states, "gelu_pytorch_tanh"),
    ),
    "a window by one": (
        "modernbert", 0, "sight",
        lambda right: lambda self, ids, mask, reach=None, groups=1: right(self, ids, mask, reach and reach + 1, groups),
    ),
    "scores of the second token": (
        "bert", 1, "first", lambda right: _second,
    ),
}  # fmt: skip


def _plus_one(self, made):
    if hasattr(self, "graph"):
        return self.graph.op("Add", made, self.graph.i64(1))
    return self.ops.add(made, self.i64(1))


def _seen(self, mask):
    """Every position counts as seen, whatever the mask says."""
    if hasattr(self, "graph"):
        return self.graph.op("Add", mask, self.graph.i64(1))
    return self.ops.add(mask, self.i64(1))


def _second(self, states):
    if hasattr(self, "graph"):
        return self.graph.op("Gather", states, self.graph.i64(1), axis=1)
    return self.ops.gather(states, self.i64(1), self.i64(1))


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("fault", FAULTS)
def test_a_wrong_graph_fails(sources, tmp_path, monkeypatch, form, fault):
    kind, scores, method, wrong = FAULTS[fault]
    layers = _layers(form)
    monkeypatch.setattr(layers, method, wrong(getattr(layers, method)))
    out = convert(form, sources(kind, scores), tmp_path / "out")
    monkeypatch.undo()
    report = measured(out)
    assert report.verdict == "failed"
    assert ("padding" if fault == "the mask is ignored" else "encoding") in failed(report)


def _exchanged(one, other):
    """Two tensors of the file hold what the other should."""

    def wrong(model):
        names = {one: other, other: one}
        return replace(model, tensors=tuple(replace(t, name=names.get(t.name, t.name)) for t in model.tensors))

    return wrong


def _turned(name):
    """The rows of a tensor stand one further on."""

    def wrong(model):
        (own,) = (t for t in model.tensors if t.name == name)
        held = Held(rows=np.roll(np.arange(own.shape[0]), 1))
        return replace(model, tensors=tuple(replace(t, held=held) if t is own else t for t in model.tensors))

    return wrong


def _stated(key, value):
    return lambda model: replace(model, keys={**model.keys, f"{model.arch}.{key}": value})


GGUF_FAULTS = {
    "positions by one": ("bert", _turned("position_embd.weight"), set()),
    "another token type": ("bert", _turned("token_types.weight"), set()),
    "norm of another layer": (
        "bert",
        _exchanged("blk.0.layer_output_norm.weight", "blk.1.layer_output_norm.weight"),
        set(),
    ),
    "norms of a layer exchanged": (
        "bert",
        _exchanged("blk.1.attn_output_norm.bias", "blk.1.layer_output_norm.bias"),
        set(),
    ),
    "a decoder": ("bert", _stated("attention.causal", boolean(True)), set()),  # llama.cpp's graph asks no key
    "another epsilon": ("bert", _stated("attention.layer_norm_epsilon", f32(0.1)), {"encoding"}),
    "a window wider by two": ("modernbert", _stated("attention.sliding_window", u32(18)), {"encoding"}),
    "other layers with windows": ("modernbert", _stated("attention.sliding_window_pattern", u32(3)), {"encoding"}),
    "a wider window both ways": ("embeddinggemma", _stated("attention.sliding_window", u32(40)), {"encoding"}),
    "bases of positions exchanged": ("modernbert", _stated("rope.freq_base_swa", f32(160000.0)), {"encoding"}),
}
"""What is planted → kind, how, and the checks beside the structure's that must see it."""


@pytest.mark.parametrize("fault", GGUF_FAULTS)
def test_a_wrong_gguf_fails(sources, tmp_path, monkeypatch, fault):
    kind, wrong, checks = GGUF_FAULTS[fault]
    right = gguf_encoders.describe
    monkeypatch.setattr(gguf_encoders, "describe", lambda encoder: wrong(right(encoder)))
    out = convert("gguf", sources(kind), tmp_path / "out.gguf")
    monkeypatch.undo()
    report = measured(out, quick=True)
    assert report.verdict == "failed"
    assert {"structure", *checks} <= set(failed(report))


def test_a_wrong_layer_behind_the_pooling_fails(sources, tmp_path, monkeypatch):
    right = dense._values
    monkeypatch.setattr(dense, "_values", lambda checkpoint, layer: np.roll(right(checkpoint, layer), 1, 0))
    out = convert("gguf", sources("embeddinggemma"), tmp_path / "out.gguf")
    monkeypatch.undo()
    assert {"structure", "encoding"} <= set(failed(measured(out, quick=True)))


@pytest.mark.parametrize("number", [2, 3])
def test_another_pooling_in_a_gguf_fails(sources, tmp_path, monkeypatch, number):
    monkeypatch.setattr(export, "pooling", lambda checkpoint, model: ({f"{model.arch}.pooling_type": u32(number)}, []))
    out = convert("gguf", sources("bert"), tmp_path / "out.gguf")
    monkeypatch.undo()
    report = measured(out, quick=True)
    assert {"structure", "encoding"} <= set(failed(report))


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("fault", ["pooling", "normalize", "gone"])
def test_wrong_files_beside_the_graph_fail(sources, tmp_path, form, fault):
    out = convert(form, sources("bert"), tmp_path / "out")
    if fault == "pooling":
        tiny_encoder.write_sentence(out, {"pooling_mode_cls_token": True}, normalize=True)
    elif fault == "normalize":
        tiny_encoder.write_sentence(out, tiny_encoder.MEAN, normalize=False)
    else:
        shutil.rmtree(out / "1_Pooling")
    (out / "edgeconv.json").unlink()  # whose digests would tell, too
    report = validate(Ask(out, reference=str(sources("bert")), max_tokens=TOKENS))
    assert "structure" in failed(report)
    if fault != "gone":
        assert "encoding" in failed(report)


def test_an_artifact_of_fewer_bits_is_judged_by_its_budgets(sources, tmp_path):
    out = convert("openvino", sources("bert"), tmp_path / "out", "-p", "int8")
    report = measured(out, quick=True)
    held = {line.metric for line in report.budgets}
    assert {"quantisation.cosine", "quantisation.rank"} <= held
    assert {check.name for check in report.rungs if check.status == "skipped"} == {"padding", "pipeline"}
    answer = CliRunner().invoke(
        app, ["validate", str(out), "--max-tokens", "600", "--quick", "--budget", "cosine=1.1", "--json"]
    )
    assert answer.exit_code == 3
    assert json.loads(answer.stdout)["first_failed"] == "budget"


def test_ranks_are_compared_as_ranks():
    assert spearman(np.array([1.0, 2, 3]), np.array([10.0, 20, 30])) == pytest.approx(1)
    assert spearman(np.array([1.0, 2, 3]), np.array([3.0, 2, 1])) == pytest.approx(-1)
    assert spearman(np.array([1.0, 1, 2]), np.array([0.0, 0, 5])) == pytest.approx(1)


def test_descriptions_refuse_what_contradicts_itself():
    with pytest.raises(CheckpointError, match="evenly"):
        encoders.describe({"model_type": "bert", "architectures": ["BertModel"], "hidden_size": 65}, set(), None)
