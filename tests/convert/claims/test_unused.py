"""Heads that predict further tokens are left out by name, with a note, in every engine, every format and the validator."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgeconv.convert import conversion
from edgeconv.convert.claims import unused
from edgeconv.convert.conversion import GgufJob, Job, OnnxJob
from edgeconv.convert.gguf.recipe import recipe
from edgeconv.convert.open_checkpoint import open_checkpoint
from edgeconv.core.errors import CheckpointError
from edgeconv.core.progress import Silent
from edgeconv.hub.fetch import fetch_metadata
from edgeconv.hub.source import parse
from edgeconv.quantize.scheme import Request
from edgeconv.validate.checkpoint_checks import examine
from edgeconv.validate.formats import open_artifact

from .test_checkpoints import PLANS, changed

HEADS: dict[str, tuple[dict[str, Any], list[str]]] = {
    "named": ({}, ["mtp.layers.0.mlp.up_proj.weight", "mtp.norm.weight"]),
    "ERNIE's": ({}, ["model.mtp_block.0.mlp.up_proj.weight", "model.mtp_linear_proj.0.weight"]),
    "numbered": (
        {"num_nextn_predict_layers": 1},
        ["model.layers.2.eh_proj.weight", "model.layers.2.mlp.up_proj.weight"],
    ),
    "in the model": ({"mtp_num_hidden_layers": 1}, ["model.mtp.layers.0.mlp.up_proj.weight"]),
}


@pytest.fixture
def source(request, tiny_model, tmp_path) -> Path:
    config, names = HEADS[request.param]
    extra = {name: np.zeros((4, 4), np.float32) for name in names}
    return changed(tiny_model("llama", dtype="float32"), tmp_path / "source", config, lambda tensors: tensors | extra)


@pytest.mark.parametrize("plan", PLANS)
@pytest.mark.parametrize("source", HEADS, indirect=True)
def test_every_plan_says_so(source: Path, plan: str) -> None:
    assert any("multi-token prediction" in note for note in PLANS[plan](source).notes)


@pytest.mark.parametrize("source", HEADS, indirect=True)
def test_doctor_knows_them(source: Path) -> None:
    rows = examine(fetch_metadata(parse(str(source), None), progress=Silent())).rows
    assert [row for row in rows if row.status == "wrong"] == []


@pytest.mark.parametrize("kind", ["openvino", "openvino, traced", "onnx", "gguf"])
@pytest.mark.parametrize("source", ["named"], indirect=True)
def test_what_is_written_is_the_model_without_them(kind: str, source: Path, tmp_path: Path) -> None:
    run = {
        "openvino": lambda out: conversion.run(Job(str(source), Request("bf16"), output=out)),
        "openvino, traced": lambda out: conversion.run(Job(str(source), Request("bf16"), output=out, engine="trace")),
        "onnx": lambda out: conversion.run(OnnxJob(str(source), Request("fp32"), output=out)),
        "gguf": lambda out: conversion.run(GgufJob(str(source), recipe("bf16"), output=out)),
    }[kind]
    artifact = open_artifact(run(tmp_path / "out").path)
    checkpoint = open_checkpoint(source)
    check = artifact.structure(checkpoint, artifact.weights(checkpoint), Silent())
    assert check.status == "passed", check.failures


@pytest.mark.parametrize(("config", "name"), [
    ({}, "model.layers.2.mlp.up_proj.weight"),
    ({"num_nextn_predict_layers": 1}, "model.layers.3.mlp.up_proj.weight"),
    ({"num_nextn_predict_layers": 0}, "model.mtp.norm.weight"),
])  # fmt: skip
def test_a_tensor_that_nothing_announces_is_an_error(config, name, tiny_model, tmp_path) -> None:
    extra = {name: np.zeros((4, 4), np.float32)}
    source = changed(tiny_model("llama", dtype="float32"), tmp_path / "source", config, lambda tensors: tensors | extra)
    assert not unused.is_unused(name, json.loads((source / "config.json").read_text()))
    with pytest.raises(CheckpointError, match="no place"):
        PLANS["gguf"](source)
