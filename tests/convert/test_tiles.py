"""Tiles whose side the patches do not divide, and tiles that a picture fills in part: their rows are transformers'."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgeconv.convert import conversion, multimodal
from edgeconv.core.progress import Silent
from edgeconv.quantize.scheme import Request

from ..models import tiny_vlm
from .vision_runs import OpenVino

SIDE = 60
"""Four patches of 14, and four pixels that belong to none: SmolVLM2's own tiles have 384, which are 27 patches and 6 pixels."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("tiles") / "model"
    return tiny_vlm.make("smolvlm", made, dtype="float32", vision_config={"image_size": SIDE})


@pytest.fixture(scope="module")
def model(folder: Path) -> Any:
    import torch
    from transformers import AutoModelForImageTextToText

    return AutoModelForImageTextToText.from_pretrained(folder, dtype=torch.float32).eval()


@pytest.fixture(scope="module")
def runs(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> OpenVino:
    out = tmp_path_factory.mktemp("out") / "openvino"
    job = conversion.Job(str(folder), Request("fp32"), output=out, smoke_test=False)
    made = conversion.run(job, Silent()).path
    return OpenVino(made, multimodal.described(made)[1])


@pytest.mark.parametrize("filled", [(SIDE, SIDE), (SIDE, 30), (20, SIDE), (45, 33)])
def test_rows_are_those_of_transformers(model: Any, runs: OpenVino, filled: tuple[int, int]) -> None:
    import torch

    mask = np.zeros((1, 2, SIDE, SIDE), np.int64)
    mask[:, :, : filled[0], : filled[1]] = 1
    pixels = np.random.default_rng(0).standard_normal((1, 2, 3, SIDE, SIDE)).astype(np.float32) * mask[:, :, None]
    made = {"pixel_values": pixels, "pixel_attention_mask": mask}
    with torch.no_grad():
        features = model.get_image_features(**{name: torch.from_numpy(one) for name, one in made.items()})
    expected = features.pooler_output.numpy()
    assert np.abs(runs.rows(made).rows - expected.reshape(-1, expected.shape[-1])).max() < 1e-3


def test_what_fills_a_batch_up_gives_no_rows(runs: OpenVino) -> None:
    pixels = np.random.default_rng(0).standard_normal((1, 2, 3, SIDE, SIDE)).astype(np.float32)
    one = runs.rows({"pixel_values": pixels[:, :1]}).rows
    pixels[:, 1] = 0
    assert np.array_equal(runs.rows({"pixel_values": pixels}).rows, one)
