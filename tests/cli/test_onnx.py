"""`edgeconv onnx` on the built-in model, whole: options, plans, results, refusals."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from .conftest import Command


def test_from_a_checkpoint_to_a_folder_that_onnxruntime_loads(
    edgeconv: Command, builtin_model: Path, tmp_path: Path
) -> None:
    import onnxruntime

    out = tmp_path / "out"
    result = edgeconv("onnx", "--model", builtin_model, "--precision", "int8", "--output", out)
    assert (result.code, result.out) == (0, f"{out}\n")
    for text in ("Writing weights …", "int8_asym, per channel", "bits per weight", "engine"):
        assert text in result.err
    assert {path.name for path in out.iterdir()} >= {
        "model.onnx", "model.onnx_data", "config.json", "generation_config.json", "genai_config.json",
        "tokenizer.json", "tokenizer_config.json", "chat_template.jinja", "edgeconv.json", "edgeconv.log.json",
    }  # fmt: skip
    session = onnxruntime.InferenceSession(str(out / "model.onnx"), providers=["CPUExecutionProvider"])
    assert session.get_outputs()[0].name == "logits"
    inspected = edgeconv("inspect", out, "--json")
    assert json.loads(inspected.out)["manifest"]["target"] == "onnx"
    (out / "edgeconv.json").unlink()
    assert "u8" in edgeconv("inspect", out).out


def test_the_plan_is_exact_and_writes_nothing(edgeconv: Command, builtin_model: Path, tmp_path: Path) -> None:
    options = ("--precision", "int4", "--ratio", "1", "--output", tmp_path / "out", "--json")
    planned = json.loads(edgeconv("onnx", "-m", builtin_model, *options, "--dry-run").out)
    assert list(tmp_path.iterdir()) == []
    made = json.loads(edgeconv("onnx", "-m", builtin_model, *options).out)
    assert planned["output_bytes"] == made["output_bytes"]
    assert made["plan"]["scheme"] == planned["scheme"] == made["scheme"]
    again = edgeconv("onnx", "-m", builtin_model, *options, "--dry-run")
    assert again.code != 0
    assert json.loads(again.out)["conflicts"]


def test_a_model_that_sees(edgeconv: Command, tiny_vision_model: Callable[..., Path], tmp_path: Path) -> None:
    out = tmp_path / "out"
    made = edgeconv("onnx", "-m", tiny_vision_model(), "-p", "int8", "--vision-precision", "int8", "-o", out, "--json")
    assert json.loads(made.out)["vision_scheme"]["mode"] == "int8_asym"
    assert "6 tokens of id" in edgeconv("inspect", out).out
    (out / "edgeconv.json").unlink()
    shares = json.loads(edgeconv("inspect", out, "--json").out)["element_types"]
    assert shares[0]["precision"] == "u8"
    assert shares[0]["tensors"] > 20


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ("--precision nf4", "nf4"),
        ("--precision int8 --group-size 64", "group-size"),
        ("--precision int4 --group-size 8", "MatMulNBits"),
        ("--accuracy-level 3", "accuracy-level"),
        ("--budget mean_kl=1", "--validate"),
    ],
)
def test_refusals(options: str, says: str, edgeconv: Command, builtin_model: Path, tmp_path: Path) -> None:
    result = edgeconv("onnx", "-m", builtin_model, *options.split(), "-o", tmp_path / "out")
    assert result.code == 2
    assert says in result.err
    assert not (tmp_path / "out").exists()
