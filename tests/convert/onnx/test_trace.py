"""The trace engine for ONNX: against torch, against the stream engine, in onnxruntime, and on checkpoints without weights."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from edgeconv.convert.checkpoint import Checkpoint
from edgeconv.convert.conversion import OnnxJob, plan, run
from edgeconv.convert.onnx import trace
from edgeconv.convert.onnx.choose import choose
from edgeconv.convert.onnx.sizes import of_config
from edgeconv.convert.onnx.trace_graph import Plan
from edgeconv.convert.open_checkpoint import open_checkpoint, open_headers
from edgeconv.core.errors import CheckpointError, ConversionError, UsageError
from edgeconv.core.progress import Silent
from edgeconv.quantize.scheme import Request, resolve
from edgeconv.validate.checks import structure_onnx
from edgeconv.validate.parity import Ask, validate
from edgeconv.validate.weights.onnx import OnnxWeights

from ... import ir
from . import reading, traced_models
from .reading import Runner
from .test_export import CONVERSION, FULL_PRECISION, export

IDS = np.random.default_rng(7).integers(5, 4000, 48).tolist()
REQUESTS = [
    Request("fp32"),
    Request("int8"),
    Request("int4", group_size=32),
    Request("int4_asym", group_size=16, all_layers=True),
]


@dataclass(frozen=True)
class Case:
    """A checkpoint and its trace, made once for all schemes."""

    source: Path
    checkpoint: Checkpoint
    made: Plan

    def write(self, out: Path, request: Request) -> Path:
        out.mkdir(parents=True)
        trace.write(self.checkpoint, self.made, resolve(request), out, accuracy_level=1, progress=Silent())
        return out


@pytest.fixture(scope="module")
def cases(tmp_path_factory: pytest.TempPathFactory, tiny_model: Callable[..., Path]) -> Callable[[str], Case]:
    known: dict[str, Case] = {}

    def case(kind: str) -> Case:
        if kind not in known:
            source = (
                tiny_model("llama", num_hidden_layers=1)
                if kind == "llama"
                else traced_models.make(kind, tmp_path_factory.mktemp(kind))
            )
            known[kind] = Case(source, open_checkpoint(source), trace.prepare(_headers_of(source), Silent()))
        return known[kind]

    return case


def _headers_of(source: Path) -> Checkpoint:
    """The checkpoint without its weights: whoever reads one gets an error."""
    opened = open_checkpoint(source)
    headers = {}
    for name, file in opened.shards.items():
        first = min(one.start for one in file.tensors.values())
        headers[name] = {
            one.name: {
                "dtype": one.dtype,
                "shape": list(one.shape),
                "data_offsets": [one.start - first, one.end - first],
            }
            for one in file.tensors.values()
        }
    return open_headers(source, headers, {name: file.size for name, file in opened.shards.items()})


def torch_holding(case: Case, out: Path) -> Any:
    """torch's model with the weights as the ONNX model de-quantizes them."""
    held = reading.weights(out, names=case.checkpoint.names)
    return ir.torch_model(case.source, {n: v.T if n in case.made.turned else v for n, v in held.items()})


@pytest.mark.parametrize(
    "kind",
    [
        kind if kind in traced_models.QUICK else pytest.param(kind, marks=pytest.mark.slow)
        for kind in traced_models.CONFIGS
    ],
)
def test_the_graph_computes_what_torch_does(kind: str, cases: Callable[[str], Case], tmp_path: Path) -> None:
    case = cases(kind)
    for number, request in enumerate(REQUESTS):
        out = case.write(tmp_path / str(number), request)
        runner = Runner(out)
        logits = runner.logits(IDS)
        assert np.abs(logits - ir.torch_logits(torch_holding(case, out), IDS)).max() < CONVERSION, request
        assert np.abs(runner.decode(IDS[:12]) - logits[:12]).max() < CONVERSION, request
        if request.precision == "fp32":
            assert np.abs(logits - ir.torch_logits(ir.torch_model(case.source), IDS)).max() < FULL_PRECISION


def test_a_batch_padded_on_the_left_gives_each_its_own_logits(cases: Callable[[str], Case], tmp_path: Path) -> None:
    runner = Runner(cases("stablelm").write(tmp_path / "out", Request("fp32")))
    long, short = IDS[:20], IDS[30:43]
    pad = len(long) - len(short)
    mask = np.ones((2, len(long)), np.int64)
    mask[1, :pad] = 0
    positions = np.maximum(mask.cumsum(axis=1) - 1, 0)
    together = runner.run(np.array([long, [0] * pad + short]), mask, positions)
    assert np.abs(together[0] - runner.logits(long)).max() < CONVERSION
    assert np.abs(together[1, pad:] - runner.logits(short)).max() < CONVERSION


def _interface(folder: Path) -> list[tuple[str, int, list[Any]]]:
    """Name, element type and dimensions of all inputs and outputs."""
    graph = reading.proto(folder).graph
    types = [(value.name, value.type.tensor_type) for value in [*graph.input, *graph.output]]
    return [(name, t.elem_type, [d.dim_param or d.dim_value for d in t.shape.dim]) for name, t in types]


@pytest.mark.parametrize("request_", [Request("bf16"), Request("int4_asym", group_size=32)], ids=lambda r: r.precision)
def test_both_engines_make_the_same_model(request_: Request, cases: Callable[[str], Case], tmp_path: Path) -> None:
    case = cases("llama")
    ours = case.write(tmp_path / "traced", request_)
    theirs = export(case.source, tmp_path / "streamed", request_, accuracy_level=1)
    one, other = reading.weights(ours), reading.weights(theirs)
    assert set(one) == set(other)
    for name, values in one.items():
        np.testing.assert_array_equal(values, other[name], err_msg=name)
    left, right = (_interface(folder) for folder in (ours, theirs))
    assert left == right
    assert np.abs(Runner(ours).logits(IDS) - Runner(theirs).logits(IDS)).max() < FULL_PRECISION
    (ours / "config.json").write_text((case.source / "config.json").read_text())
    result = structure_onnx.check(ours, None, case.checkpoint, None, Silent())
    assert (result.status, result.figures["rotary_tables"], result.figures["matched_by_content"]) == ("passed", 1, 0)


def test_only_operators_that_every_runtime_has(cases: Callable[[str], Case], tmp_path: Path) -> None:
    out = cases("gpt2").write(tmp_path / "out", Request("int4", group_size=32))
    onnx.checker.check_model(out / reading.MODEL)
    graph = onnx.load(out / reading.MODEL, load_external_data=False)
    assert {node.op_type for node in graph.graph.node if node.domain} == {"MatMulNBits"}
    assert not any(node.metadata_props or node.doc_string for node in graph.graph.node)
    assert str(Path(traced_models.__file__).parents[3]) not in str(graph)


def test_weights_lie_as_in_the_checkpoint_or_turned(cases: Callable[[str], Case]) -> None:
    gpt2 = cases("gpt2")
    assert {name.split(".")[-2] for name in gpt2.made.turned} == {"c_attn", "c_proj", "c_fc"}
    assert not cases("stablelm").made.turned
    for kind in traced_models.QUICK:
        one = cases(kind)
        guessed = {
            w.name: (w.shape, w.role, w.is_last)
            for w in trace.forecast(one.checkpoint, resolve(Request("int8"))).weights
        }
        assert guessed == {w.name: (w.shape, w.role, w.is_last) for w in one.made.weights}
        assert trace.sizes(one.checkpoint, one.made) == of_config(one.checkpoint.config)


def test_the_whole_way(cases: Callable[[str], Case], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From the command's job to the validator's verdict; the trace is the one made above."""
    monkeypatch.setenv("EDGECONV_CACHE", str(tmp_path / "cache"))
    case = cases("stablelm")
    monkeypatch.setattr(trace, "prepare", lambda *_: case.made)
    job = OnnxJob(str(case.source), Request("int8"), engine="trace", output=tmp_path / "out")
    planned = plan(job)
    assert (planned.engine, planned.conflicts) == ("trace", [])
    made = run(job)
    manifest = made.manifest
    assert (manifest.engine, manifest.compressor) == ("trace", "edgeconv")
    assert {"onnxscript", "torch", "transformers"} <= set(manifest.versions)
    assert {entry.name for entry in manifest.tensors} == case.checkpoint.names
    size = sum(file.size for file in manifest.outputs.values())
    assert abs(planned.output_bytes - size) < 0.05 * size
    genai = json.loads((made.path / "genai_config.json").read_text())["model"]["decoder"]
    assert (genai["num_key_value_heads"], genai["head_size"], genai["num_hidden_layers"]) == (2, 16, 1)
    report = validate(Ask(made.path, reference=str(case.source), max_tokens=300, budgets={"mean_kl": 1.0, "top1": 0.1}))
    assert report.verdict == "passed", [result.failures for result in report.rungs]
    figures = {c.name: c.figures["max_abs_logit"].value for c in report.comparisons}
    assert figures["conversion"] < CONVERSION < figures["quantisation"]


def test_the_validator_reads_weights_either_way_round(cases: Callable[[str], Case], tmp_path: Path) -> None:
    case = cases("gpt2")
    for number, request in enumerate((Request("fp32"), Request("int4", group_size=32))):
        out = case.write(tmp_path / str(number), request)
        (out / "config.json").write_text((case.source / "config.json").read_text())
        weights = OnnxWeights(out, case.checkpoint)
        result = structure_onnx.check(out, None, case.checkpoint, weights, Silent())
        assert result.status == "passed", result.failures
        assert result.figures["weights"] == len(case.made.shapes)
        assert result.figures["unmatched_checkpoint"] == result.figures["matched_by_content"] == 0
    square = "transformer.h.0.attn.c_proj.weight"  # neither its shape nor its name tells that it lies turned
    assert np.abs(weights.tensor(square) - case.checkpoint.tensor(square)).max() < 0.1
    edited = onnx.load(tmp_path / "0" / reading.MODEL, load_external_data=False)
    places = {t.name: t.external_data for t in edited.graph.initializer if t.name.endswith("attn.c_proj.weight")}
    one, other = (places[f"transformer.h.{layer}.attn.c_proj.weight"] for layer in (0, 1))
    one[1].value, other[1].value = other[1].value, one[1].value
    (tmp_path / "0" / reading.MODEL).write_bytes(edited.SerializeToString())
    result = structure_onnx.check(tmp_path / "0", None, case.checkpoint, None, Silent())
    assert any("transformer.h.1.attn.c_proj" in failure for failure in result.failures)


REFUSED: list[tuple[dict[str, Any], str, str]] = [
    ({"model_type": "t5", "is_encoder_decoder": True}, "trace", "encoder-decoder"),
    ({"model_type": "mamba"}, "trace", "keeps a state"),
    ({"model_type": "phimoe", "num_local_experts": 8}, "auto", "mixture of experts"),
    ({"model_type": "llava", "vision_config": {}}, "auto", "more than text"),
    ({"model_type": "gpt2", "quantization_config": {"quant_method": "gptq"}}, "auto", "already quantized"),
    ({"model_type": "nemotron", "rope_scaling": {"type": "longrope"}}, "trace", "how long the text is"),
    (
        {"model_type": "gemma3_text", "rope_parameters": {"full": {"rope_type": "dynamic"}}},
        "auto",
        "how long a text is",
    ),
    ({"model_type": "bart"}, "auto", "--engine trace"),
    ({"model_type": "invented"}, "auto", "transformers has no causal language model"),
    ({"model_type": "invented"}, "trace", "transformers has no causal language model"),
]


@pytest.mark.parametrize(("config", "engine", "says"), REFUSED, ids=lambda v: v if isinstance(v, str) else "")
def test_what_cannot_be_traced(config: dict[str, Any], engine: str, says: str) -> None:
    with pytest.raises(CheckpointError) as error:
        choose(Checkpoint(Path(), config, {}), engine)
    assert says in f"{error.value.message} {error.value.hint}"


SINUSOIDS = {
    "d_model": 64,
    "ffn_dim": 128,
    "num_layers": 1,
    "attention_heads": 4,
    "max_position_embeddings": 512,
    "pad_token_id": 1,
}
DYNAMIC = {**traced_models.USUAL, "rope_parameters": {"rope_type": "dynamic", "rope_theta": 10000.0, "factor": 2.0}}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "fields", "says"),
    [("xglm", SINUSOIDS, "the graph holds only for"), ("llama", DYNAMIC, "cannot export llama")],
)
def test_a_graph_that_would_not_hold_for_every_length(
    kind: str, fields: dict[str, Any], says: str, tmp_path: Path
) -> None:
    source = traced_models.make(kind, tmp_path / kind, **fields)
    with pytest.raises(ConversionError, match=says):
        trace.prepare(open_checkpoint(source), Silent())


def test_the_engine_is_the_users(builtin_model: Path) -> None:
    known, unknown = open_checkpoint(builtin_model), Checkpoint(Path(), {"model_type": "gpt2"}, {})
    assert [choose(known, engine).engine for engine in ("auto", "stream", "trace")] == ["stream", "stream", "trace"]
    assert choose(unknown).engine == "trace"
    with pytest.raises(UsageError, match="gpt2"):
        choose(unknown, "stream")
