"""The formats of one checkpoint are one model: their logits beside each other's and beside torch in float32."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from edgeconv.convert import conversion
from edgeconv.convert.gguf.recipe import recipe
from edgeconv.core.progress import Silent
from edgeconv.quantize.scheme import Request
from edgeconv.validate.budget import limit
from edgeconv.validate.formats import open_artifact

from ..ir import torch_logits, torch_model
from ..models.tiny import FAMILIES

HIDDEN = 96
"""Its root is not a number of bfloat16: a scale that is rounded on the way shows."""
IDS = np.random.default_rng(3).integers(5, 4000, 60).tolist()
OTHERS = {
    "gemma3_text": {
        "query_pre_attn_scalar": HIDDEN // 4,
        "num_hidden_layers": 6,
        "layer_types": [*["sliding_attention"] * 5, "full_attention"],
    }
}
FORMATS = {
    **dict.fromkeys(FAMILIES, ("openvino", "onnx", "gguf")),
    **dict.fromkeys(("cohere", "cohere2", "glm4", "granite", "smollm3", "stablelm", "starcoder2"), ("openvino", "onnx")),
}  # fmt: skip


def convert(kind: str, source: Path, out: Path) -> Path:
    if kind == "openvino":
        return conversion.run(conversion.Job(str(source), Request("bf16"), output=out, engine="trace"), Silent()).path
    if kind == "onnx":
        return conversion.run(conversion.OnnxJob(str(source), Request("fp32"), output=out)).path
    return conversion.run(conversion.GgufJob(str(source), recipe("f32"), output=out)).path


@pytest.mark.parametrize("family", FORMATS)
def test_formats_agree(family: str, tiny_model: Callable[..., Path], tmp_path: Path) -> None:
    source = tiny_model(family, hidden_size=HIDDEN, head_dim=HIDDEN // 4, dtype="bfloat16", **OTHERS.get(family, {}))
    made = {"torch": (torch_logits(torch_model(source), IDS), 0.0)}
    for kind in FORMATS[family]:
        artifact = open_artifact(convert(kind, source, tmp_path / kind))
        runtime = artifact.runtime("CPU", Silent(), accurate=True)
        (logits,) = runtime.logits(IDS)
        made[kind] = (logits.copy(), limit(artifact.graph, "conversion"))
        runtime.close()
    for one, (logits, allowed) in made.items():
        for other, (beside, also) in made.items():
            assert np.abs(logits - beside).max() <= max(allowed, also), f"{one} beside {other}"
