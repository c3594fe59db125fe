"""Layers that keep states in openvino_genai: its paged attention takes them, and makes the tokens that plain states make."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from edgeconv.convert import conversion
from edgeconv.quantize.scheme import Request

PROMPT = "Everyone has the right to freedom of thought, conscience and religion;"


@pytest.mark.parametrize("model_type", ["lfm2", "qwen3_5_text"])
def test_paged_attention_knows_the_states(model_type: str, tiny_model: Callable[..., Path], tmp_path: Path) -> None:
    import openvino_genai

    job = conversion.Job(str(tiny_model(model_type)), Request("fp32"), output=tmp_path / "out", smoke_test=False)
    made = conversion.run(job).path
    texts = set()
    for backend in ("PA", "SDPA"):
        pipe = openvino_genai.LLMPipeline(made, "CPU", ATTENTION_BACKEND=backend, INFERENCE_PRECISION_HINT="f32")
        texts.add(pipe.generate(PROMPT, max_new_tokens=32, do_sample=False, apply_chat_template=False))
    assert len(texts) == 1
    assert texts.pop()
