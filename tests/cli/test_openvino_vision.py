"""Vision models of other families, from the command line to optimum-intel's own runtime."""

from pathlib import Path

import pytest

from ..ir import ACCURATE
from ..models import tiny, tiny_v, tiny_vlm
from .conftest import Command


@pytest.mark.slow
def test_a_llava_from_the_command_line_answers_as_torch_does(edgeconv: Command, tmp_path: Path) -> None:
    import torch
    from optimum.intel import OVModelForVisualCausalLM
    from transformers import AutoModelForImageTextToText, AutoTokenizer

    source, out = tiny_vlm.make("llava", tmp_path / "model"), tmp_path / "out"
    (source / "video_preprocessor_config.json").write_text("{}\n")
    result = edgeconv("openvino", "--model", source, "--precision", "bf16", "--output", out)
    assert (result.code, result.out) == (0, f"{out}\n")
    assert "video_preprocessor_config.json" in edgeconv("inspect", out, "--json").data["manifest"]["outputs"]
    assert len(AutoTokenizer.from_pretrained(out)) > 0
    sample = tiny_vlm.sample("llava")
    found = OVModelForVisualCausalLM.from_pretrained(out, ov_config=ACCURATE)(**sample).logits
    with torch.no_grad():
        expected = AutoModelForImageTextToText.from_pretrained(source, dtype=torch.float32)(**sample).logits
    assert float((torch.as_tensor(found) - expected).abs().max()) < 1e-3


def test_what_it_plans_for_both_halves(edgeconv: Command, tmp_path: Path) -> None:
    source = tiny_vlm.make("llava", tmp_path / "model")
    plan = edgeconv("openvino", "--model", source, "--dry-run", "--json", "--vision-precision", "int8").data
    assert (plan["engine"], plan["vision_scheme"]["precision"]) == ("stream", "int8")
    refused = edgeconv("openvino", "--model", source, "--layout", "genai")
    assert (refused.code, "error: --layout" in refused.err) == (2, True)


@pytest.mark.slow
def test_what_cannot_be_measured_says_so_at_once(edgeconv: Command, tmp_path: Path) -> None:
    source, out = tiny_vlm.make("llava", tmp_path / "model"), tmp_path / "out"
    edgeconv("openvino", "--model", source, "--precision", "bf16", "--output", out)
    blind = tiny.make("llama", tmp_path / "blind")
    refused = edgeconv("validate", out, "--reference", blind)
    assert (refused.code, "no vision part that edgeconv knows" in refused.err) == (2, True)
    takes_images, genai = tiny_v.make_glm_edge_v(tmp_path / "v"), tmp_path / "genai"
    edgeconv("openvino", "--model", takes_images, "--precision", "int8", "--layout", "genai", "--output", genai)
    refused = edgeconv("validate", genai)
    assert (refused.code, "layout for openvino_genai" in refused.err) == (2, True)
