"""ChatGLM checkpoints through a conversion, as their makers publish them: pickles, no tokenizer.json, code of their own."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from edgeconv.convert.conversion import GgufJob, Job, plan, run
from edgeconv.convert.conversion import run as run_gguf
from edgeconv.convert.gguf.read import open_gguf
from edgeconv.convert.gguf.recipe import recipe
from edgeconv.convert.open_checkpoint import open_checkpoint
from edgeconv.core.digest import sha256_file
from edgeconv.core.manifest import manifest_of
from edgeconv.quantize.scheme import Request

from ...models import chatglm_plain, tiny_chatglm

IDS = np.random.default_rng(7).integers(5, 600, 60).tolist()
KINDS = {"chatglm2-6b": {}, "chatglm3-6b-32k": {"rope_ratio": 50}, "glm-4-9b-chat": {"vocabulary": "ranks"}}


@pytest.fixture(autouse=True, scope="module")
def _cache(tmp_path_factory: pytest.TempPathFactory) -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EDGECONV_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module", params=KINDS)
def source(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / request.param
    tiny_chatglm.make(folder, **KINDS[request.param])
    (folder / "MODEL_LICENSE").write_text("terms")
    (folder / "modeling_chatglm.py").write_text("raise SystemExit('run without consent')")
    return folder


def plain_logits(source: Path) -> Any:
    config = json.loads((source / "config.json").read_text())
    weights: dict[str, torch.Tensor] = {}
    for shard in source.glob("*.bin"):
        weights |= torch.load(shard, weights_only=True)
    return chatglm_plain.logits(weights, config, IDS).numpy()


def openvino_logits(folder: Path) -> Any:
    import openvino

    core = openvino.Core()
    model = core.compile_model(folder / "openvino_model.xml", "CPU", {"EXECUTION_MODE_HINT": "ACCURACY"})
    count = len(IDS)
    inputs = {
        "input_ids": np.array([IDS]),
        "attention_mask": np.ones((1, count), np.int64),
        "position_ids": np.arange(count)[None],
        "beam_idx": np.zeros(1, np.int32),
    }
    return model.create_infer_request().infer(inputs)[0][0]


def test_openvino_computes_what_the_plain_reading_does(source: Path, tmp_path: Path) -> None:
    artifact = run(Job(str(source), Request("fp32"), output=tmp_path / "out"))
    assert np.abs(openvino_logits(artifact.path) - plain_logits(source)).max() < 2e-4
    config = json.loads((artifact.path / "config.json").read_text())
    assert config["model_type"] == "glm" and "auto_map" not in config
    assert (artifact.path / "MODEL_LICENSE").read_text() == "terms"
    assert not list(artifact.path.glob("*.py"))


@pytest.mark.parametrize("request_", [Request("int8"), Request("int4", group_size=32)], ids=["int8", "int4"])
def test_the_manifest_names_the_checkpoint_s_own_files(source: Path, request_: Request, tmp_path: Path) -> None:
    artifact = run(Job(str(source), request_, output=tmp_path / "out"))
    files = artifact.manifest.source.files
    shards = {path.name for path in source.glob("*.bin")}
    assert set(files) == {"config.json", "tokenizer.model", "MODEL_LICENSE", *shards}
    assert all(entry.sha256 == sha256_file(source / name) for name, entry in files.items())
    assert any("known by" in note for note in artifact.manifest.notes)
    assert artifact.plan.as_dict()["engine"] == "stream"
    assert json.loads((artifact.path / "edgeconv.log.json").read_text())["source"] == str(source)


def test_traced_it_is_the_same(source: Path, tmp_path: Path) -> None:
    artifact = run(Job(str(source), Request("fp32"), engine="trace", output=tmp_path / "out"))
    assert np.abs(openvino_logits(artifact.path) - plain_logits(source)).max() < 2e-4


def test_a_plan_of_it(source: Path, tmp_path: Path) -> None:
    planned = plan(Job(str(source), Request("int4", group_size=32), output=tmp_path / "out"))
    assert planned.source == source.name
    assert planned.parameters == open_checkpoint(source).parameters
    assert planned.input_bytes == sum(path.stat().st_size for path in source.glob("*.bin"))


def test_llama_cpp_computes_what_the_plain_reading_does(source: Path, tmp_path: Path) -> None:
    from ..gguf import llama_cpp

    artifact = run_gguf(GgufJob(str(source), recipe("f32"), output=tmp_path / "m.gguf"))
    assert np.abs(llama_cpp.logits(artifact.path, IDS) - plain_logits(source)).max() < 1e-3
    manifest = manifest_of(artifact.path)
    assert manifest is not None and "pytorch_model-00001-of-00003.bin" in manifest.source.files
    assert any("in front of each text" in note for note in manifest.notes)


def test_llama_cpp_gives_the_ids_of_rendered_prompts(source: Path, tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    from ..gguf import llama_cpp

    artifact = run_gguf(GgufJob(str(source), recipe("q8_0"), output=tmp_path / "m.gguf"))
    original = AutoTokenizer.from_pretrained(open_checkpoint(source).folder)
    keys = open_gguf(artifact.path).keys
    assert keys["tokenizer.chat_template"] == original.chat_template
    assert keys["tokenizer.ggml.add_bos_token"] is False
    model = llama_cpp.load(artifact.path)  # the vocabulary is a part of it
    vocabulary = model.get_vocab()
    turns = ["people 你好", "philosophy\n\n  1 + 1", "  ", "😀 def f(x):\n\treturn x"]
    chat = [{"role": "user" if i % 2 == 0 else "assistant", "content": text} for i, text in enumerate(turns)]
    for count in range(1, 5):
        prompt = original.apply_chat_template(chat[:count], tokenize=False, add_generation_prompt=True)
        expected = original(prompt, add_special_tokens=False)["input_ids"]
        assert list(vocabulary.tokenize(prompt, add_special=False, parse_special=True)) == expected


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["openvino", "gguf"])
def test_the_validator_passes_it(kind: str, source: Path, tmp_path: Path) -> None:
    from edgeconv.validate.parity import Ask, validate

    if kind == "openvino":
        path = run(Job(str(source), Request("int8"), output=tmp_path / "out")).path
    else:
        path = run_gguf(GgufJob(str(source), recipe("q8_0"), output=tmp_path / "m.gguf")).path
    report = validate(
        Ask(path, max_tokens=1200)
    )  # random weights have near ties: fewer texts may be too few to judge top-1
    assert report.verdict == "passed", [check.failures for check in report.rungs]
