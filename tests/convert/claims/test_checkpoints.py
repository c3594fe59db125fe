"""What a checkpoint is, told truly by every format, by validate and by doctor: quantized, a classifier, an adapter."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from edgeconv.convert import conversion
from edgeconv.convert.conversion import GgufJob, Job, OnnxJob
from edgeconv.convert.gguf.recipe import recipe
from edgeconv.convert.open_checkpoint import open_checkpoint
from edgeconv.core.errors import CheckpointError, EdgeconvError
from edgeconv.core.progress import Silent
from edgeconv.hub.fetch import fetch_metadata
from edgeconv.hub.source import parse
from edgeconv.quantize.scheme import Request
from edgeconv.validate.checkpoint_checks import examine

Maker = Callable[..., Path]
PLANS: dict[str, Callable[[Path], Any]] = {
    "openvino": lambda folder: conversion.plan(Job(str(folder), Request("bf16"))),
    "openvino, traced": lambda folder: conversion.plan(Job(str(folder), Request("bf16"), engine="trace")),
    "onnx": lambda folder: conversion.plan(OnnxJob(str(folder), Request("fp32"))),
    "gguf": lambda folder: conversion.plan(GgufJob(str(folder), recipe("bf16"))),
}
STATED: dict[str, dict[str, Any]] = {
    "gptq": {"quantization_config": {"quant_method": "gptq", "bits": 4, "group_size": 128}},
    "awq": {"quantization_config": {"quant_method": "awq", "bits": 4}},
    "compressed-tensors": {"quantization_config": {"quant_method": "compressed-tensors", "format": "pack-quantized"}},
    "bitsandbytes": {"quantization_config": {"quant_method": "bitsandbytes", "load_in_4bit": True}},
    "fp8": {"quantization_config": {"quant_method": "fp8", "weight_block_size": [128, 128]}},
    "mlx": {"quantization": {"group_size": 64, "bits": 4}, "quantization_config": None},
    "mxfp4": {"quantization_config": {"quant_method": "mxfp4"}},
}
PACKED = {
    "gptq": "qweight", "awq": "qzeros", "compressed-tensors": "weight_packed", "bitsandbytes": "weight.absmax",
    "fp8": "weight_scale_inv", "mlx": "scales", "mxfp4": "gate_up_proj_blocks",
}  # fmt: skip
TASKS = {
    "LlamaForSequenceClassification": "classifier", "Qwen2ForRewardModel": "reward", "LlamaForTokenClassification": "labels",
    "LlamaForQuestionAnswering": "answer",
}  # fmt: skip


def changed(source: Path, folder: Path, config: dict[str, Any] | None = None, tensors: Any = None) -> Path:
    """Copy a checkpoint, change fields of its config.json, and its tensors by a function."""
    shutil.copytree(source, folder)
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text("utf-8")) | (config or {})), "utf-8")
    if tensors:
        save_file(tensors(load_file(folder / "model.safetensors")), folder / "model.safetensors", {"format": "pt"})
    return folder


def said(folder: Path, plan: str) -> tuple[str, str]:
    with pytest.raises(EdgeconvError) as found:
        PLANS[plan](folder)
    assert isinstance(found.value, CheckpointError), found.value
    return found.value.message, found.value.hint or ""


def doctors_words(folder: Path) -> str:
    return " ".join(
        row.found
        for row in examine(fetch_metadata(parse(str(folder), None), progress=Silent())).rows
        if row.status == "wrong"
    )


def with_tensor(name: str) -> Callable[[dict[str, Any]], dict[str, Any]]:
    return lambda tensors: tensors | {name: np.zeros((4, 4), np.int32)}


@pytest.fixture
def llama(tiny_model: Maker) -> Path:
    return tiny_model("llama", dtype="float32")


@pytest.mark.parametrize("method", STATED)
def test_a_quantized_checkpoint_is_named_before_any_tensor_is_missed(llama: Path, tmp_path: Path, method: str) -> None:
    name = f"model.layers.0.self_attn.q_proj.{PACKED[method]}"
    folder = changed(llama, tmp_path / "m", STATED[method], with_tensor(name))
    for plan in PLANS:
        message, hint = said(folder, plan)
        assert f"already quantized ({method}" in message
        assert ("unquantized revision" in hint) or method == "mxfp4"
    assert f"already quantized ({method}" in doctors_words(folder)


@pytest.mark.parametrize("method", STATED)
def test_plain_weights_under_a_stale_quantization_config(llama: Path, tmp_path: Path, method: str) -> None:
    folder = changed(llama, tmp_path / "m", STATED[method])
    for plan in PLANS:
        message, hint = said(folder, plan)
        assert "no tensor of the checkpoint is quantized" in message
        assert "out of config.json" in hint


def test_masters_of_bitnet_are_no_plain_weights(llama: Path, tmp_path: Path) -> None:
    stated = {"quant_method": "bitnet", "linear_class": "autobitlinear", "quantization_mode": "online"}
    folder = changed(llama, tmp_path / "m", {"quantization_config": stated})
    for plan in PLANS:
        assert "rounds to -1, 0 and 1" in said(folder, plan)[0]
    assert "rounds to -1, 0 and 1" in doctors_words(folder)


def test_validate_refuses_a_reference_that_it_would_not_run_as_stated(llama: Path, tmp_path: Path) -> None:
    from edgeconv.validate.target import open_pair

    plain = changed(llama, tmp_path / "plain")
    out = conversion.run(GgufJob(str(plain), recipe("bf16"), output=tmp_path / "out")).path
    for fields in ({"quantization_config": {"quant_method": "bitnet"}}, {"is_causal": False}, {"clip_qkv": 8.0}):
        folder = changed(plain, tmp_path / str(next(iter(fields))), fields)
        with pytest.raises(CheckpointError, match=next(iter(fields))):
            open_pair(out, str(folder), Silent())


@pytest.mark.parametrize("task", TASKS)
def test_a_model_of_another_task_is_named(llama: Path, tmp_path: Path, task: str) -> None:
    folder = changed(llama, tmp_path / "m", {"architectures": [task]})
    for plan in PLANS:
        message, _ = said(folder, plan)
        assert task in message
        assert TASKS[task] in message


def test_a_score_head_tells_a_classifier_without_architectures(llama: Path, tmp_path: Path) -> None:
    def scored(tensors: dict[str, Any]) -> dict[str, Any]:
        tensors["score.weight"] = tensors.pop("lm_head.weight")[:2].copy()
        return tensors

    folder = changed(llama, tmp_path / "m", {"architectures": None}, scored)
    for plan in PLANS:
        assert "score.weight" in said(folder, plan)[0]


def test_names_of_an_adapter(llama: Path, tmp_path: Path) -> None:
    folder = changed(
        llama, tmp_path / "m", {}, lambda tensors: {f"base_model.model.{n}": t for n, t in tensors.items()}
    )
    for plan in PLANS:
        message, hint = said(folder, plan)
        assert "adapter (PEFT)" in message
        assert "merge_and_unload" in hint


def test_a_folder_of_an_adapter_alone(tmp_path: Path) -> None:
    (tmp_path / "adapter_config.json").write_text(
        '{"base_model_name_or_path": "org/base", "peft_type": "LORA"}', "utf-8"
    )
    save_file(
        {"base_model.model.x.lora_A.weight": np.zeros((2, 2), np.float32)}, tmp_path / "adapter_model.safetensors"
    )
    for plan in PLANS:
        assert "holds an adapter (PEFT, adapter_config.json)" in said(tmp_path, plan)[0]
    with pytest.raises(CheckpointError, match="for org/base, not a model"):
        open_checkpoint(tmp_path)


def test_an_adapter_beside_its_model(llama: Path, tmp_path: Path) -> None:
    folder = changed(llama, tmp_path / "m")
    (folder / "adapter_config.json").write_text('{"peft_type": "LORA"}', "utf-8")
    assert open_checkpoint(folder).names  # a file that is left over, without weights
    save_file({"x.lora_A.weight": np.zeros((2, 2), np.float32)}, folder / "adapter_model.safetensors")
    for plan in PLANS:
        message, hint = said(folder, plan)
        assert "beside the model" in message
        assert "move adapter_config.json out" in hint


def headless(tensors: dict[str, Any]) -> dict[str, Any]:
    return {name.removeprefix("model."): tensor for name, tensor in tensors.items() if name != "lm_head.weight"}


@pytest.mark.parametrize("kind", ["llama", "qwen2", "qwen3", "mistral", "gemma3_text"])
@pytest.mark.parametrize("architecture", ["Model", "ForCausalLM"])
def test_names_of_a_model_without_a_head_are_taken(
    tiny_model: Maker, tmp_path: Path, kind: str, architecture: str
) -> None:
    source = tiny_model(kind, dtype="float32", tie_word_embeddings=True)
    config = json.loads((source / "config.json").read_text("utf-8"))
    named = [name.replace("ForCausalLM", architecture) for name in config["architectures"]]
    folder = changed(source, tmp_path / "m", {"architectures": named}, headless)
    for plan in PLANS.values():
        notes = plan(folder).notes
        assert any("as embedding models are saved" in note for note in notes)
        assert any("names " + named[0] in note for note in notes) == (architecture == "Model")
    assert open_checkpoint(folder).names == open_checkpoint(source).names - {"lm_head.weight"}


@pytest.mark.parametrize("architecture", ["LlamaModel", "LlamaForCausalLM"])
def test_a_checkpoint_without_a_head_and_without_a_tie(llama: Path, tmp_path: Path, architecture: str) -> None:
    folder = changed(llama, tmp_path / "m", {"architectures": [architecture]}, headless)
    for plan in ("openvino", "gguf", "onnx"):
        message, hint = said(folder, plan)
        assert "no lm_head.weight" in message
        assert "tie_word_embeddings" in message
        assert ("made for embeddings" in message) == (architecture == "LlamaModel")
        assert ('"tie_word_embeddings": true' in hint) == (architecture != "LlamaModel")


def test_weights_in_one_file_beside_a_stale_index(llama: Path, tmp_path: Path) -> None:
    folder = changed(llama, tmp_path / "m")
    stale = {"metadata": {}, "weight_map": {"model.norm.weight": "model-00001-of-00003.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(stale), "utf-8")
    checkpoint = open_checkpoint(folder)
    assert checkpoint.names == open_checkpoint(llama).names
    assert "model.safetensors.index.json" in checkpoint.notes[0]
