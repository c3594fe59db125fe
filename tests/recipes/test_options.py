"""Every option of the command lines has its field in a recipe, and every field reaches what it is for."""

from pathlib import Path
from typing import Any

import pytest
import typer.main

from edgeconv.cli.app import app
from edgeconv.core.errors import UsageError
from edgeconv.recipes.model import Gguf, Onnx, OpenVINO, Publish, Recipe, Source
from edgeconv.recipes.unit import MEASURED, units

OF_A_RUN = {"force", "local_files_only", "dry_run", "json", "quiet", "verbose", "help", "output"}
"""Options that say how the program runs, not what is made."""
ELSEWHERE = {
    "openvino": {"validate"},  # the field parity
    "gguf": {"validate"},
    "onnx": {"validate"},
    "validate": {
        "artifact",
        "reference",
        "report",
        "no_report",
        "bisect",
    },  # the unit's own output, its source, and the folder beside it; a diagnosis that measures nothing
    "publish": {"folder"},
}
FIELDS: dict[str, tuple[Any, ...]] = {
    "openvino": (OpenVINO, Source),
    "gguf": (Gguf, Source),
    "onnx": (Onnx, Source),
    "validate": (OpenVINO,),
    "publish": (Publish,),
}


@pytest.mark.parametrize("name", FIELDS)
def test_every_option_has_its_field(name: str) -> None:
    command = typer.main.get_command(app).commands[name]  # type: ignore[attr-defined]
    options = {str(parameter.name).rstrip("_") for parameter in command.params} - OF_A_RUN - ELSEWHERE[name]
    fields = {field for model in FIELDS[name] for field in model.model_fields}
    assert options <= fields, f"without a field: {sorted(options - fields)}"
    assert len(options) > 4


OPENVINO = {
    "precision": "int8",
    "group_size": 64,
    "group_size_fallback": "ignore",
    "ratio": 0.5,
    "sym": False,
    "backup_precision": "none",
    "all_layers": True,
    "tensor_precision": ["mlp=int8_sym"],
    "calibration": "words.txt",
    "awq": True,
    "scale_estimation": True,
    "gptq": True,
    "lora_correction": True,
    "sensitivity_metric": "max_activation_variance",
    "num_samples": 9,
    "target": "npu",
    "kv_cache": "device",
    "vision_precision": "int8",
    "engine": "trace",
    "compressor": "nncf",
    "rope": "fused",
    "layout": "genai",
}
GGUF = {
    "precision": "int8",
    "type": "q5_0",
    "pure": True,
    "leave_output_tensor": True,
    "output_type": "q6_k",
    "token_embedding_type": "q6_k",
    "tensor_type": ["ffn_down=q6_k"],
    "imatrix": "words.txt",
    "vision_precision": "none",
    "split_max_size": "1M",
    "pre": "glm4",
}
ONNX = {
    "precision": "int8",
    "group_size": 64,
    "group_size_fallback": "ignore",
    "ratio": 0.5,
    "sym": False,
    "backup_precision": "none",
    "all_layers": True,
    "tensor_precision": ["mlp=int8_sym"],
    "vision_precision": "int8",
    "engine": "trace",
    "accuracy_level": 1,
}
MEASURING = {
    "budget": {"mean_kl": 1.0},
    "suite": "words.txt",
    "max_tokens": 100,
    "quick": True,
    "strict": True,
    "reference_dtype": "bfloat16",
    "device": "GPU",
}
NOT_THE_ARTIFACT = {"format", "output", "smoke_test", "parity", "junit", "publish", *MEASURED}


def unit(folder: Path, target: dict[str, Any]) -> Any:
    recipe = Recipe.model_validate({"name": "r", "source": {"model": "org/name"}, "targets": {"t": target}})
    (folder / "words.txt").write_text("words")
    (folder / "r.yaml").write_text("the recipe's file")
    return units(recipe, folder / "r.yaml", folder / "out")[0]


@pytest.mark.parametrize("kind", ["openvino", "gguf", "onnx"])
def test_the_smoke_test_reaches_the_job(kind: str, tmp_path: Path) -> None:
    for asked in (None, False, True):
        assert unit(tmp_path, {"format": kind, "smoke_test": asked}).job.smoke_test is asked


@pytest.mark.parametrize(
    ("kind", "values", "model"), [("openvino", OPENVINO, OpenVINO), ("gguf", GGUF, Gguf), ("onnx", ONNX, Onnx)]
)
def test_every_field_reaches_the_job(kind: str, values: dict[str, Any], model: Any, tmp_path: Path) -> None:
    assert set(values) == set(model.model_fields) - NOT_THE_ARTIFACT
    plain = {"format": kind, "parity": False}
    for name, value in values.items():
        made = unit(tmp_path, {**plain, name: value})
        assert made.job != unit(tmp_path, plain).job, name
        assert made.conversion() != unit(tmp_path, plain).conversion(), name


@pytest.mark.parametrize(("kind", "values"), [("openvino", OPENVINO), ("gguf", GGUF)], ids=["openvino", "gguf"])
def test_the_content_of_every_file_is_part_of_the_record(kind: str, values: dict[str, Any], tmp_path: Path) -> None:
    """A text that was changed makes another artifact, under the same name."""
    named = {name: value for name, value in values.items() if value == "words.txt"}
    made = unit(tmp_path, {"format": kind, "parity": False} | named)
    assert set(made.files) == set(named) == {"openvino": {"calibration"}, "gguf": {"imatrix"}}[kind]
    before = made.conversion()
    assert made.conversion() == before
    (tmp_path / "words.txt").write_text("other words")
    assert made.conversion() != before
    (tmp_path / "words.txt").write_text("words")
    assert made.conversion() == before
    (tmp_path / "words.txt").unlink()
    with pytest.raises(UsageError, match=r"words\.txt cannot be read"):
        made.conversion()


def test_every_field_reaches_the_validator(tmp_path: Path) -> None:
    assert set(MEASURING) == set(MEASURED)
    plain = {"format": "openvino"}
    for name, value in MEASURING.items():
        made = unit(tmp_path, {**plain, name: value})
        assert made.ask() != unit(tmp_path, plain).ask(), name
        assert made.measurement() != unit(tmp_path, plain).measurement(), name
        assert made.conversion() == unit(tmp_path, plain).conversion(), name  # it is not converted again for it


def test_every_field_reaches_the_publication(tmp_path: Path) -> None:
    from edgeconv.publish.publish import Publication
    from edgeconv.recipes.publication import publication

    values = {
        "repo": "a/b", "private": True, "branch": "x", "create_pr": True, "message": "m", "allow_unvalidated": True,
        "replace": ["README.md"],
    }  # fmt: skip
    assert set(values) == set(Publish.model_fields)
    made = publication(tmp_path, Publish.model_validate(values))
    assert made == Publication(tmp_path, "a/b", True, "x", True, True, "m", ("README.md",))
