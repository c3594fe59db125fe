"""Faults in what layers share or have apart (Gemma 4): validation finds each in each format, and nothing in the right file."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgeconv.convert import conversion
from edgeconv.convert.families import gemma4_text
from edgeconv.convert.gguf.recipe import recipe
from edgeconv.convert.open_checkpoint import open_checkpoint
from edgeconv.convert.program.per_layer import PerLayer
from edgeconv.core.progress import Silent
from edgeconv.quantize.scheme import Request
from edgeconv.validate.budget import limit
from edgeconv.validate.formats import open_artifact
from edgeconv.validate.module_weights import checkpoint_tensors
from edgeconv.validate.reference import LayeredReference

from ..models import tiny

IDS = np.random.default_rng(11).integers(5, 4000, 60).tolist()


def _local_base(config: dict[str, Any], patch: pytest.MonkeyPatch) -> None:
    config["rope_parameters"]["sliding_attention"]["rope_theta"] = 20_000.0


def _no_cap(config: dict[str, Any], patch: pytest.MonkeyPatch) -> None:
    config["final_logit_softcapping"] = None


def _window(config: dict[str, Any], patch: pytest.MonkeyPatch) -> None:
    config["sliding_window"] += 1


def _another_cache(config: dict[str, Any], patch: pytest.MonkeyPatch) -> None:
    """The last layer reads the keys and values of the first of its kind, not of the last."""
    right = gemma4_text.sources

    def wrong(kinds: list[str], shared: int) -> list[int | None]:
        return [*right(kinds, shared)[:-1], kinds.index(kinds[-1])]

    patch.setattr(gemma4_text, "sources", wrong)


def _shifted(config: dict[str, Any], patch: pytest.MonkeyPatch) -> None:
    """Each layer gets the input of the next."""
    right = PerLayer.vectors

    def wrong(self: PerLayer, ops: Any, ids: Any, embedded: Any) -> Any:
        first, *others = right(self, ops, ids, embedded)
        return [*others, first]

    patch.setattr(PerLayer, "vectors", wrong)


Fault = Callable[[dict[str, Any], pytest.MonkeyPatch], None]
FAULTS: dict[str, Fault | None] = {
    "none": None,
    "base of the local layers": _local_base,
    "no cap": _no_cap,
    "window wider by one": _window,
    "another layer's cache": _another_cache,
    "inputs shifted by a layer": _shifted,
}
JOBS: dict[str, Callable[[str, Path], Any]] = {
    "openvino": lambda source, out: conversion.Job(source, Request("fp32"), output=out),
    "onnx": lambda source, out: conversion.OnnxJob(source, Request("fp32"), output=out),
    "gguf": lambda source, out: conversion.GgufJob(source, recipe("f32"), output=out),
}
OF_GRAPHS = ("another layer's cache", "inputs shifted by a layer")
"""Faults of graphs that are written here; llama.cpp has its own."""
CASES = [(fault, kind) for fault in FAULTS for kind in JOBS if kind != "gguf" or fault not in OF_GRAPHS]


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, np.ndarray]:
    """A checkpoint with two global layers before those that share, and what the validator's reference makes of a text."""
    kinds = ["full_attention", "sliding_attention", *["sliding_attention", "full_attention"] * 2]
    row = tiny.STREAMED["gemma4_text"] | {"layer_types": kinds, "num_kv_shared_layers": 2}
    folder = tiny.make("gemma4_text", tmp_path_factory.mktemp("source") / "model", dtype="float32", **row)
    reference = LayeredReference(folder, checkpoint_tensors(open_checkpoint(folder)))
    (states,) = reference.hidden_states([IDS], Silent(), "test")
    return folder, reference.head().logits(states)


@pytest.mark.parametrize(("fault", "kind"), CASES)
def test_the_logits_check_finds(
    fault: str, kind: str, source: tuple[Path, np.ndarray], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, expected = source
    planted = tmp_path / "planted"
    shutil.copytree(folder, planted)
    config = json.loads((planted / "config.json").read_text())
    plant = FAULTS[fault]
    if plant:
        plant(config, monkeypatch)
    (planted / "config.json").write_text(json.dumps(config))
    made = conversion.run(JOBS[kind](str(planted), tmp_path / "out"))
    artifact = open_artifact(made.path)
    runtime = artifact.runtime("CPU", Silent(), accurate=True)
    (logits,) = runtime.logits(IDS)
    apart = float(np.abs(logits - expected).max())
    runtime.close()
    allowed = limit(artifact.graph, "conversion")
    assert (apart <= allowed) if plant is None else (apart > 10 * allowed), apart
