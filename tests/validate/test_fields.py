"""Each field that a runtime obeys is compared with the checkpoint's by what it means; versions and written defaults are not."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edgeconv.convert import conversion
from edgeconv.convert.conversion import OnnxJob, run
from edgeconv.convert.open_checkpoint import open_checkpoint
from edgeconv.core.progress import Silent
from edgeconv.quantize.scheme import Request
from edgeconv.validate.formats import open_artifact

SAMPLING = {
    "do_sample": True,
    "temperature": 0.6,
    "top_k": 20,
    "top_p": 0.95,
    "repetition_penalty": 1.05,
    "eos_token_id": 2,
}
Artifacts = dict[str, Path]


@pytest.fixture(scope="module")
def source(tiny_model: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint as many Llama repositories are: its config.json leaves head_dim out; sampling is stated."""
    folder = tmp_path_factory.mktemp("fields") / "source"
    shutil.copytree(tiny_model("llama"), folder)
    config = json.loads((folder / "config.json").read_text())
    del config["head_dim"]
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "generation_config.json").write_text(json.dumps(SAMPLING))
    return folder


@pytest.fixture(scope="module")
def made(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Artifacts:
    out = tmp_path_factory.mktemp("made")
    return {
        "openvino": conversion.run(conversion.Job(str(source), Request("bf16"), output=out / "ov")).path,
        "onnx": run(OnnxJob(str(source), Request("fp32"), output=out / "onnx")).path,
    }


def changed(artifact: Path, to: Path, name: str, change: Callable[[Any], None]) -> Path:
    shutil.copytree(artifact, to)
    (to / "edgeconv.json").unlink()
    content = json.loads((to / name).read_text())
    change(content)
    (to / name).write_text(json.dumps(content))
    return to


def failures(folder: Path, source: Path) -> list[str]:
    artifact, checkpoint = open_artifact(folder), open_checkpoint(source)
    return artifact.structure(checkpoint, artifact.weights(checkpoint), Silent()).failures


GENERATION = {
    "temperature": 3.0, "repetition_penalty": 2.0, "max_new_tokens": 5, "max_length": 30, "num_beams": 4, "top_k": 1,
    "top_p": None, "do_sample": False, "stop_strings": ["a"],
    "no_repeat_ngram_size": 2, "min_new_tokens": 9, "presence_penalty": 1.0,
}  # fmt: skip


@pytest.mark.parametrize("target", ["openvino", "onnx"])
@pytest.mark.parametrize("field", GENERATION)
def test_generation_config(field: str, target: str, made: Artifacts, source: Path, tmp_path: Path) -> None:
    folder = changed(
        made[target], tmp_path / "a", "generation_config.json", lambda c: c.update({field: GENERATION[field]})
    )
    (failure,) = failures(folder, source)
    assert failure.startswith(f"generation_config.json: {field} is ")


CONFIG = {
    "num_hidden_layers": 3, "rms_norm_eps": 1e-3, "max_position_embeddings": 128, "hidden_act": "gelu",
    "tie_word_embeddings": True, "num_key_value_heads": 4,
    "head_dim": 32, "vocab_size": 99, "model_type": "mistral", "attention_bias": True,
}  # fmt: skip


@pytest.mark.parametrize("target", ["openvino", "onnx"])
@pytest.mark.parametrize("field", CONFIG)
def test_config(field: str, target: str, made: Artifacts, source: Path, tmp_path: Path) -> None:
    folder = changed(made[target], tmp_path / "a", "config.json", lambda c: c.update({field: CONFIG[field]}))
    assert any(failure.startswith(f"config.json: {field} is ") for failure in failures(folder, source))


def written_out(config: dict[str, Any]) -> None:
    """As optimum-cli writes it: defaults stated, another version, other names of the same fields."""
    rope = config.pop("rope_parameters", None) or {}
    config |= {
        "head_dim": 16, "transformers_version": "4.45.0", "torch_dtype": "float32", "attention_dropout": 0.1, "mlp_bias": False,
        "rope_theta": rope.get("rope_theta", 10000.0), "rope_scaling": None, "_name_or_path": "/tmp/x", "use_cache": False,
    }  # fmt: skip


@pytest.mark.parametrize("target", ["openvino", "onnx"])
def test_defaults_and_versions_are_no_fault(target: str, made: Artifacts, source: Path, tmp_path: Path) -> None:
    assert failures(made[target], source) == []
    assert failures(changed(made[target], tmp_path / "a", "config.json", written_out), source) == []
    same = {
        "num_beams": 1,
        "transformers_version": "4.1",
        "max_length": 20,
        "_from_model_config": True,
        "min_length": None,
    }
    folder = changed(made[target], tmp_path / "b", "generation_config.json", lambda c: c.update(same))
    assert failures(folder, source) == []


def decoder(config: Any) -> Any:
    return config["model"]["decoder"]


GENAI: dict[str, Callable[[Any], Any]] = {
    "past_key_names": lambda c: decoder(c)["inputs"].update(past_key_names="past.%d.key"),
    "present_value_names": lambda c: decoder(c)["outputs"].update(present_value_names="past_key_values.%d.value"),
    "input_ids": lambda c: decoder(c)["inputs"].update(input_ids="ids"),
    "logits": lambda c: decoder(c)["outputs"].update(logits="probabilities"),
    "head_size": lambda c: decoder(c).update(head_size=32),
    "num_key_value_heads": lambda c: decoder(c).update(num_key_value_heads=4),
    "num_attention_heads": lambda c: decoder(c).update(num_attention_heads=8),
    "num_hidden_layers": lambda c: decoder(c).update(num_hidden_layers=1),
    "hidden_size": lambda c: decoder(c).update(hidden_size=32),
    "filename": lambda c: decoder(c).update(filename="other.onnx"),
    "vocab_size": lambda c: c["model"].update(vocab_size=99),
    "context_length": lambda c: c["model"].update(context_length=99),
    "max_length": lambda c: c["search"].update(max_length=5),
    "temperature": lambda c: c["search"].update(temperature=3.0),
    "repetition_penalty": lambda c: c["search"].update(repetition_penalty=2.0),
    "do_sample": lambda c: c["search"].update(do_sample=False),
    "num_beams": lambda c: c["search"].update(num_beams=4),
}


@pytest.mark.parametrize("fault", GENAI)
def test_genai_config(fault: str, made: Artifacts, source: Path, tmp_path: Path) -> None:
    found = failures(changed(made["onnx"], tmp_path / "a", "genai_config.json", GENAI[fault]), source)
    assert any(failure.startswith("genai_config.json: ") and fault in failure for failure in found), found


@pytest.mark.parametrize(
    ("option", "value", "wrong"),
    [
        ("KV_CACHE_PRECISION", "u8", True),
        ("KV_CACHE_PRECISION", "f32", False),
        ("ACTIVATIONS_SCALE_FACTOR", "1000.0", True),
    ],
)
def test_runtime_options(option: str, value: str, wrong: bool, made: Artifacts, source: Path, tmp_path: Path) -> None:
    import openvino as ov

    shutil.copytree(made["openvino"], tmp_path / "a")
    (tmp_path / "a" / "edgeconv.json").unlink()
    model = ov.Core().read_model(tmp_path / "a" / "openvino_model.xml")
    model.set_rt_info(value, ["runtime_options", option])
    ov.save_model(model, tmp_path / "b.xml", compress_to_fp16=False)
    for ending in (".xml", ".bin"):
        shutil.move((tmp_path / "b").with_suffix(ending), tmp_path / "a" / f"openvino_model{ending}")
    found = failures(tmp_path / "a", source)
    assert any(option in failure for failure in found) == wrong, found


def test_numbers_that_onnxruntime_genai_opens_no_file_with(source: Path, tmp_path: Path) -> None:
    """A list of pads, switched off by -1: what other tools take is put as it takes it."""
    copy = shutil.copytree(source, tmp_path / "source")
    stated = SAMPLING | {"pad_token_id": [7, 8], "top_k": -1, "eos_token_id": [-1, 2], "bos_token_id": -1}
    (copy / "generation_config.json").write_text(json.dumps(stated))
    folder = run(OnnxJob(str(copy), Request("fp32"), output=tmp_path / "a")).path
    written = json.loads((folder / "genai_config.json").read_text())
    assert (written["model"]["pad_token_id"], written["model"]["eos_token_id"]) == (7, 2)
    assert written["model"]["bos_token_id"] == 2
    assert written["search"]["top_k"] == 0
    assert not [failure for failure in failures(folder, copy) if "genai" in failure]
