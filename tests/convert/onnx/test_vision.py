"""GLM-Edge-V's three ONNX models against torch, stage by stage, and their names."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from edgeconv.convert.onnx import export as onnx_engine
from edgeconv.core.progress import Silent
from edgeconv.quantize.scheme import Request, resolve, resolve_vision

from ...vision_ir import torch_vision_model
from ..openvino.test_stream_vision import COMPRESSED, FLOATING, VARIANTS, ir_outputs, opened, prompt, torch_outputs
from . import reading
from .reading import VisionRunner

Maker = Callable[..., Path]


def export(source: Path, out: Path, request: Request, vision_precision: str | None = None) -> Path:
    checkpoint, choice = opened(source)
    scheme = resolve(request)
    onnx_engine.export(
        checkpoint,
        choice.decoder,
        scheme,
        out,
        vision=choice.vision,
        vision_scheme=resolve_vision(vision_precision, scheme, "glm_edge_v"),
        progress=Silent(),
    )
    return out


def differences(source: Path, folder: Path, pictures: int, *, own: bool) -> dict[str, float]:
    """Beside torch on the checkpoint's weights, or on the artifact's own."""
    ids, pixels, placeholder = prompt(source, pictures)
    model = torch_vision_model(source, reading.vision_weights(folder) if own else None)
    wanted = torch_outputs(model, ids, pixels)
    runner = VisionRunner(folder, placeholder)
    found = ir_outputs(runner, ids, pixels)  # type: ignore[arg-type]
    assert found.keys() == wanted.keys()
    made = {name: float(np.abs(value - wanted[name]).max()) for name, value in found.items()}
    merged = runner.merge(ids, pixels)
    steps = [
        runner.logits(merged[:, :-3]),
        *(runner.logits(merged[:, i : i + 1], i) for i in range(len(ids) - 3, len(ids))),
    ]
    return made | {"cached": float(np.abs(np.concatenate(steps) - found["logits"]).max())}


@pytest.mark.parametrize(
    ("request_", "vision", "limit"),
    [
        (Request("bf16"), None, FLOATING),
        (Request("int8"), "int8", COMPRESSED),
        (Request("int4_sym", group_size=32, ratio=0.6), None, COMPRESSED),
    ],
    ids=lambda v: getattr(v, "precision", v),
)
def test_every_stage_is_torchs_on_the_weights_that_are_stored(
    request_: Request, vision: str | None, limit: float, tiny_vision_model: Maker, tmp_path: Path
) -> None:
    source = tiny_vision_model()
    folder = export(source, tmp_path, request_, vision)
    for pictures in (0, 2):
        found = differences(source, folder, pictures, own=limit == COMPRESSED)
        assert max(found.values()) < limit, found


@pytest.mark.parametrize("name", VARIANTS)
def test_everything_is_read_from_the_config(name: str, tiny_vision_model: Maker, tmp_path: Path) -> None:
    source = tiny_vision_model(**VARIANTS[name])
    found = differences(source, export(source, tmp_path, Request("fp32")), 1, own=False)
    assert max(found.values()) < FLOATING, found


def test_names_and_shapes(tiny_vision_model: Maker, tmp_path: Path) -> None:
    import onnx

    export(tiny_vision_model(), tmp_path, Request("int4", group_size=32), "int8")
    ports = {}
    for file in reading.VISION_PARTS:
        onnx.checker.check_model(tmp_path / file)
        graph = onnx.load(tmp_path / file, load_external_data=False).graph
        for port in (*graph.input, *graph.output):
            ports[port.name] = [d.dim_value or d.dim_param for d in port.type.tensor_type.shape.dim]
    caches = {
        f"{kind}.{layer}.{part}"
        for kind in ("past_key_values", "present")
        for layer in (0, 1)
        for part in ("key", "value")
    }
    assert set(ports) == {
        "input_ids", "inputs_embeds", "attention_mask", "position_ids", "logits", "pixel_values", "image_features", *caches,
    }  # fmt: skip
    assert ports["pixel_values"] == ["n", 3, 56, 56]
    assert ports["image_features"] == ["n", 6, 64]
    assert ports["inputs_embeds"] == ["batch", "n", 64]
