"""Sliding windows in openvino_genai, whose default attention is the runtime's paged one: it knows a window by its form alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgeconv.convert import conversion
from edgeconv.quantize.scheme import Request

from ...models import tiny

WINDOWED = [name for name, row in tiny.STREAMED.items() if row.get("sliding_window") and not name.startswith("gemma2")]
"""Without Gemma 2, whose scores are capped, which that attention cannot do: openvino_genai itself takes the other."""


@pytest.mark.parametrize("name", WINDOWED)
def test_both_attentions_of_genai_look_through_the_window(name: str, tmp_path: Path) -> None:
    import openvino as ov
    import openvino_genai
    import torch
    from transformers import AutoModelForCausalLM

    model_type, _, _ = name.partition("-")
    folder = tiny.make(model_type, tmp_path / "model", dtype="float32", **tiny.STREAMED[name])
    made = conversion.run(conversion.Job(str(folder), Request("fp32"), output=tmp_path / "out"))
    prompts = np.random.default_rng(5).integers(3, 4000, (4, 1, 60))
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    with torch.no_grad():
        expected = [int(model(torch.tensor(prompt)).logits[0, -1].argmax()) for prompt in prompts]
    for attention in ("PA", "SDPA"):
        precise = {"INFERENCE_PRECISION_HINT": "f32", "KV_CACHE_PRECISION": "f32"}
        pipe = openvino_genai.LLMPipeline(str(made.path), "CPU", ATTENTION_BACKEND=attention, **precise)
        found = []
        for prompt in prompts:
            given = openvino_genai.TokenizedInputs(ov.Tensor(prompt), ov.Tensor(np.ones_like(prompt)))
            found += [pipe.generate(given, max_new_tokens=1, ignore_eos=True).tokens[0][0]]
        assert found == expected, attention
