"""The trace engine on models of images and text, against torch, through optimum-intel's own runtime."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edgeconv.convert.open_checkpoint import open_checkpoint
from edgeconv.convert.openvino import assets, trace_vision
from edgeconv.convert.openvino.choose import choose
from edgeconv.convert.openvino.engine import Exported
from edgeconv.core.errors import CheckpointError, ConversionError
from edgeconv.core.progress import Silent
from edgeconv.quantize.scheme import Request, resolve

from ...ir import ACCURATE
from ...models import tiny_vlm

CONVERSION = 1e-3
"""max |Δlogit| between the IRs in ACCURACY mode and torch float32."""
PARTS = {
    "llava": ["language_model", "text_embeddings_model", "vision_embeddings_model"],
    "llava_next": ["language_model", "text_embeddings_model", "vision_embeddings_model"],
    "qwen2_vl": [
        "language_model", "text_embeddings_model", "vision_embeddings_merger_model", "vision_embeddings_model",
    ],
    "qwen2_5_vl": [
        "language_model", "text_embeddings_model", "vision_embeddings_merger_model", "vision_embeddings_model",
    ],
    "qwen3_vl": [
        "language_model", "text_embeddings_model", "vision_embeddings_merger_model", "vision_embeddings_model",
        "vision_embeddings_pos_model",
    ],
}  # fmt: skip


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """A factory of tiny checkpoints, one a family. Read-only."""
    made: dict[str, Path] = {}

    def make(kind: str) -> Path:
        if kind not in made:
            made[kind] = tiny_vlm.make(kind, tmp_path_factory.mktemp(kind))
        return made[kind]

    return make


def export(source: Path, out: Path, precision: str, vision_precision: str | None = None) -> Exported:
    checkpoint, scheme = open_checkpoint(source), resolve(Request(precision))
    others = trace_vision.resolve_others(vision_precision, scheme, "optimum-intel")
    exported = trace_vision.export(checkpoint, scheme, others, out, progress=Silent())
    assets.write(checkpoint, scheme, out, vision_scheme=exported.vision_scheme, added=exported.config)
    return exported


def answers(model: Any, kind: str) -> tuple[Any, list[int]]:
    """Logits [n, vocab] of a prompt with a picture, and eight greedy tokens."""
    import torch

    sample = tiny_vlm.sample(kind)
    with torch.no_grad():
        logits = torch.as_tensor(model(**sample).logits)[0]
    made = model.generate(**sample, max_new_tokens=8, do_sample=False, eos_token_id=-1)
    return logits, made[0, -8:].tolist()


@pytest.mark.parametrize("kind", PARTS)
def test_logits_and_greedy_tokens_are_torchs(kind: str, source: Callable[[str], Path], tmp_path: Path) -> None:
    import torch
    from optimum.intel import OVModelForVisualCausalLM
    from transformers import AutoModelForImageTextToText

    exported = export(source(kind), tmp_path, "bf16")
    assert [path.stem.removeprefix("openvino_") for path in sorted(tmp_path.glob("*.xml"))] == PARTS[kind]
    assert {entry.file for entry in exported.tensors} == {f"openvino_{part}.xml" for part in PARTS[kind]}
    reference = AutoModelForImageTextToText.from_pretrained(source(kind), dtype=torch.float32).eval()
    logits, made = answers(OVModelForVisualCausalLM.from_pretrained(tmp_path, ov_config=ACCURATE), kind)
    expected, wanted = answers(reference, kind)
    assert float((logits - expected).abs().max()) < CONVERSION
    assert made == wanted


@pytest.mark.parametrize("kind", ["llava", "qwen2_vl"])
def test_schemes_of_the_parts(kind: str, source: Callable[[str], Path], tmp_path: Path) -> None:
    exported = export(source(kind), tmp_path, "int4")
    by_file: dict[str, set[str]] = {}
    for entry in exported.tensors:
        if len(entry.shape) > 1:
            by_file.setdefault(str(entry.file), set()).add(entry.precision)
    assert by_file["openvino_language_model.xml"] == {"int4_asym", "int8_asym"}
    assert by_file["openvino_text_embeddings_model.xml"] == {"int8_asym"}
    assert "int8_asym" in by_file["openvino_vision_embeddings_model.xml"]
    described = json.loads((tmp_path / "openvino_config.json").read_text())["quantization_config"]
    assert described["quantization_configs"]["lm_model"]["bits"] == 4
    assert described["quantization_configs"]["vision_embeddings_model"]["bits"] == 8


def test_a_tensor_without_a_place_is_an_error(tmp_path: Path) -> None:
    import torch
    from safetensors.torch import load_file, save_file

    folder = tiny_vlm.make("llava", tmp_path / "model")
    tensors = load_file(folder / "model.safetensors")
    save_file(tensors | {"adapter.weight": torch.zeros(2, 2)}, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(CheckpointError, match=r"no place in LlavaForConditionalGeneration.*adapter\.weight"):
        export(folder, tmp_path / "out", "int4")


def test_a_part_that_no_graph_uses_is_an_error(
    source: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the rule for LLaVA's last layers of the tower, these are missed."""
    monkeypatch.setattr(trace_vision, "unused", lambda _: lambda _: False)
    with pytest.raises((CheckpointError, ConversionError), match=r"does not use .*vision_tower.*layers\.2"):
        export(source("llava"), tmp_path, "bf16")


@pytest.mark.parametrize(
    ("layer", "name", "expected"),
    [
        (-2, "model.vision_tower.vision_model.encoder.layers.2.mlp.fc1.weight", True),
        (-2, "model.vision_tower.vision_model.encoder.layers.1.mlp.fc1.weight", False),
        (-1, "model.vision_tower.vision_model.encoder.layers.2.mlp.fc1.weight", False),
        ([0, 1], "model.vision_tower.vision_model.encoder.layers.1.mlp.fc1.weight", True),
        (-2, "model.vision_tower.vision_model.post_layernorm.weight", True),
        (-2, "model.language_model.layers.2.mlp.up_proj.weight", False),
    ],
)
def test_unused(layer: int | list[int], name: str, expected: bool) -> None:
    config = {"model_type": "llava", "vision_feature_layer": layer, "vision_config": {"num_hidden_layers": 3}}
    assert trace_vision.unused(config)(name) is expected


def test_choice() -> None:
    choice = choose({"model_type": "llava", "vision_config": {}}, names=[])
    assert (choice.engine, choice.several) == ("trace", True)
    with pytest.raises(CheckpointError, match=r"smolvlm only under transformers up to 4\.57\.6") as raised:
        choose({"model_type": "smolvlm", "vision_config": {}}, names=[])
    assert "llava" in (raised.value.hint or "")


def test_default_of_the_other_parts() -> None:
    assert trace_vision.resolve_others(None, resolve(Request("int4")), "x").mode == "int8_asym"
    assert trace_vision.resolve_others(None, resolve(Request("bf16")), "x").mode == "bf16"
    assert trace_vision.resolve_others("fp16", resolve(Request("int4")), "x").mode == "fp16"
