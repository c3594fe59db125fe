"""The whole story in this process: what comes out, twice the same, and that the runtimes take it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from edgeconv.convert.conversion import Job, plan, run
from edgeconv.core.manifest import LOG_NAME, read_manifest
from edgeconv.quantize.scheme import Request

from ...ir import ACCURATE, Runner, torch_logits, torch_model

FILES = {
    "openvino_model.xml", "openvino_model.bin", "openvino_tokenizer.xml", "openvino_tokenizer.bin",
    "openvino_detokenizer.xml", "openvino_detokenizer.bin", "config.json", "generation_config.json", "openvino_config.json",
    "tokenizer.json", "tokenizer_config.json", "chat_template.jinja", "edgeconv.json", LOG_NAME,
}  # fmt: skip
QUESTION = "日本的首都是哪里？"
ANSWER = "日本的首都是东京。"


@pytest.fixture(scope="module")
def artifact(builtin_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return run(Job(str(builtin_model), Request("int4"), output=tmp_path_factory.mktemp("a") / "ov")).path


def test_files_and_manifest(artifact: Path, builtin_model: Path) -> None:
    assert {p.name for p in artifact.iterdir()} == FILES
    manifest = read_manifest(artifact)
    assert set(manifest.outputs) == FILES - {"edgeconv.json", LOG_NAME}
    for name, digest in manifest.outputs.items():
        assert hashlib.sha256((artifact / name).read_bytes()).hexdigest() == digest.sha256
        assert (artifact / name).stat().st_size == digest.size
    for name, digest in manifest.source.files.items():
        assert hashlib.sha256((builtin_model / name).read_bytes()).hexdigest() == digest.sha256
    assert manifest.scheme["chosen_by"] == "glm"
    assert {t.precision for t in manifest.tensors} == {"int4_sym", "int8_asym", "bf16"}
    assert 4 < manifest.bits_per_weight < 6
    text = (artifact / "edgeconv.json").read_text()
    assert str(builtin_model) not in text
    assert str(builtin_model) in (artifact / LOG_NAME).read_text()


def test_the_same_input_gives_the_same_bytes(artifact: Path, builtin_model: Path, tmp_path: Path) -> None:
    again = run(Job(str(builtin_model), Request("int4"), output=tmp_path / "ov")).path
    for path in artifact.iterdir():
        if path.name != LOG_NAME:
            assert path.read_bytes() == (again / path.name).read_bytes(), path.name


def test_plan_predicts_the_size_and_writes_nothing(artifact: Path, builtin_model: Path, tmp_path: Path) -> None:
    planned = plan(Job(str(builtin_model), Request("int4"), output=tmp_path / "ov"))
    assert list(tmp_path.iterdir()) == []
    outputs = read_manifest(artifact).outputs.values()
    assert planned.output_bytes == pytest.approx(sum(file.size for file in outputs), rel=0.01)
    json.dumps(planned.as_dict())


def test_assumed_values_are_in_the_plan_and_the_manifest(builtin_model: Path, tmp_path: Path) -> None:
    import shutil

    source = shutil.copytree(builtin_model, tmp_path / "model")
    config = json.loads((source / "config.json").read_text())
    del config["rms_norm_eps"]
    (source / "config.json").write_text(json.dumps(config))
    job = Job(str(source), Request("int8"), output=tmp_path / "ov")
    planned = plan(job)
    assert any(s.startswith("rms_norm_eps") for s in planned.assumed)
    assert ("assumed", planned.assumed[0]) in planned.rows()
    assert read_manifest(run(job).path).assumed == planned.assumed


@pytest.mark.slow
def test_loads_in_optimum_genai_and_openvino_and_they_agree(artifact: Path) -> None:
    import openvino_genai
    import torch
    from optimum.intel import OVModelForCausalLM
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(artifact)
    message = [{"role": "user", "content": QUESTION}]
    ids = tokenizer.apply_chat_template(message, add_generation_prompt=True, return_dict=True)["input_ids"]
    plain = Runner(artifact / "openvino_model.xml").greedy(ids, 64)
    model = OVModelForCausalLM.from_pretrained(artifact, ov_config=ACCURATE)
    made = model.generate(torch.tensor([ids]), max_new_tokens=64, min_new_tokens=64, do_sample=False)
    # the stop tokens are kept from stopping in optimum, so compare up to the first of them
    end = min((plain.index(t) for t in model.generation_config.eos_token_id if t in plain), default=64)
    assert made[0, len(ids) :].tolist()[:end] == plain[:end]
    assert tokenizer.decode(plain[:end]) == ANSWER
    for backend in ("PA", "SDPA"):
        pipe = openvino_genai.LLMPipeline(str(artifact), "CPU", ATTENTION_BACKEND=backend, **ACCURATE)
        pipe.start_chat()
        assert pipe.generate(QUESTION, max_new_tokens=64, do_sample=False) == ANSWER
        pipe.finish_chat()


@pytest.mark.slow
@pytest.mark.parametrize("form", ["smollm2_llama", "smollm2_glm"])
def test_real_model_generates_the_same_64_tokens_everywhere(
    form: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    import numpy as np
    import openvino as ov
    import openvino_genai
    from transformers import AutoTokenizer

    source = request.getfixturevalue(form)
    out = run(Job(str(source), Request("bf16"), output=tmp_path / "ov")).path
    tokenizer = AutoTokenizer.from_pretrained(source)
    message = [{"role": "user", "content": "Write about the sea."}]
    ids = tokenizer.apply_chat_template(message, add_generation_prompt=True, return_dict=True)["input_ids"]
    plain = Runner(out / "openvino_model.xml").greedy(ids, 64)
    # the reference need not decode: it chooses the same tokens if it agrees with each one after those before it
    reference = torch_logits(torch_model(source), ids + plain)[len(ids) - 1 : -1]
    assert reference.argmax(-1).tolist() == plain
    config = openvino_genai.GenerationConfig(max_new_tokens=64, ignore_eos=True, do_sample=False)
    pipe = openvino_genai.LLMPipeline(str(out), "CPU", **ACCURATE)
    made = pipe.generate(ov.Tensor(np.array([ids], np.int64)), config)
    assert list(made.tokens[0]) == plain


@pytest.mark.slow
def test_default_group_adjusts_to_rows_of_576(smollm2_llama: Path, tmp_path: Path) -> None:
    planned = plan(Job(str(smollm2_llama), Request("int4"), output=tmp_path / "ov"))
    assert any("rows of 576" in note and "groups of 64" in note for note in planned.notes)
    made = run(Job(str(smollm2_llama), Request("int4"), output=tmp_path / "ov"))
    groups = {(t.precision, t.group_size) for t in made.manifest.tensors}
    assert {("int4_asym", 64), ("int4_asym", 128)} <= groups


@pytest.mark.parametrize("precision", ["fp32", "fp16", "nf4", "mxfp4", "cb4", "fp8_e4m3", "int3_sym"])
def test_other_precisions_run(precision: str, builtin_model: Path, tmp_path: Path) -> None:
    made = run(Job(str(builtin_model), Request(precision), output=tmp_path / "ov"))
    assert made.manifest.compressor == ("none" if precision.startswith("fp32") or precision == "fp16" else "nncf")
    logits = Runner(made.path / "openvino_model.xml").logits(list(range(5, 40)))
    reference = run(Job(str(builtin_model), Request("bf16"), output=tmp_path / "reference")).path
    expected = Runner(reference / "openvino_model.xml").logits(list(range(5, 40)))
    assert (logits.argmax(-1) == expected.argmax(-1)).mean() > 0.6


def test_plan_of_a_hub_model_reads_only_headers(tiny_model: Callable[..., Path], tmp_path: Path) -> None:
    from edgeconv.convert.open_checkpoint import open_checkpoint, open_headers

    folder = tiny_model("glm", max_shard_size="300KB")
    whole = open_checkpoint(folder)
    headers = {
        name: {
            t.name: {"dtype": t.dtype, "shape": list(t.shape), "data_offsets": [t.start - base, t.end - base]}
            for t in file.tensors.values()
        }
        for name, file in whole.shards.items()
        for base in [min(t.start for t in file.tensors.values())]
    }
    sizes = {name: file.size for name, file in whole.shards.items()}
    seen = open_headers(folder, headers, sizes)
    assert {n: seen.info(n).shape for n in seen.names} == {n: whole.info(n).shape for n in whole.names}
    assert seen.parameters == whole.parameters
