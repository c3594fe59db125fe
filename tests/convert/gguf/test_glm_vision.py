"""GLM-4.1V and GLM-OCR as GGUF: the language model in llama.cpp computes what transformers' does, for all axes of positions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgeconv.convert import conversion
from edgeconv.convert.gguf.recipe import Recipe
from edgeconv.core.progress import Silent

from ...models import tiny_vlm
from . import llama_cpp

IDS = np.random.default_rng(7).integers(5, 4000, 60).tolist()
ROPE = {"rope_type": "default", "rope_theta": 10000.0}
MODELS: dict[str, tuple[str, dict[str, Any]]] = {
    "glm4v, half of each head turns": (
        "glm4v",
        {"text_config": {"rope_parameters": ROPE | {"mrope_section": [1, 1, 2], "partial_rotary_factor": 0.5}}},
    ),
    "glm4v": ("glm4v", {}),
    "glm_ocr, wide heads": (
        "glm_ocr",
        {"text_config": {"head_dim": 32, "rope_parameters": ROPE | {"mrope_section": [4, 6, 6]}}},
    ),
}


@pytest.mark.parametrize("name", MODELS)
def test_words_give_the_logits_of_transformers(name: str, tmp_path: Path) -> None:
    import torch
    from transformers import AutoModelForImageTextToText

    model_type, overrides = MODELS[name]
    source = tiny_vlm.make(model_type, tmp_path / "source", dtype="float32", **overrides)
    job = conversion.GgufJob(str(source), Recipe("f32"), output=tmp_path / "model.gguf", smoke_test=False)
    path = conversion.run(job, Silent()).path
    model = AutoModelForImageTextToText.from_pretrained(source, dtype=torch.float32).eval()
    with torch.no_grad():
        expected = model(input_ids=torch.tensor([IDS])).logits[0].numpy()
    assert np.abs(llama_cpp.logits(path, IDS) - expected).max() < 1e-3
