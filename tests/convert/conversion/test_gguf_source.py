"""From a GGUF to another, and to OpenVINO: the same bytes as from the checkpoint, what the manifest says, and warnings."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgeconv.convert.conversion import GgufJob, Job, plan, run
from edgeconv.convert.conversion import plan as plan_gguf
from edgeconv.convert.conversion import run as run_gguf
from edgeconv.convert.gguf.read import open_gguf
from edgeconv.convert.gguf.recipe import recipe
from edgeconv.core.digest import sha256_file
from edgeconv.core.errors import ArtifactError, UsageError
from edgeconv.core.manifest import manifest_of
from edgeconv.core.progress import Silent
from edgeconv.quantize.scheme import Request
from edgeconv.validate.target import open_pair


@pytest.fixture(autouse=True, scope="module")
def _cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EDGECONV_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module")
def made(builtin_model: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The built-in model as GGUF files of several types, each beside a config.json that is not of it."""
    folder = tmp_path_factory.mktemp("made")
    (folder / "config.json").write_text("{}")
    paths = {kind: folder / f"glm_tiny-{kind}.gguf" for kind in ("f32", "bf16", "q8_0")}
    for kind, path in paths.items():
        run_gguf(GgufJob(str(builtin_model), recipe(kind), output=path))
    return paths


def tensors(path: Path) -> dict[str, tuple[str, bytes]]:
    """Tensor → type and bytes."""
    file = open_gguf(path)
    return {name: (info.type, file.data(name).tobytes()) for name, info in file.tensors.items()}


@pytest.mark.parametrize("through", ["f32", "bf16"])
def test_requantized_as_from_the_checkpoint(
    through: str, made: dict[str, Path], builtin_model: Path, tmp_path: Path
) -> None:
    direct = run_gguf(GgufJob(str(builtin_model), recipe("q4_k_m"), output=tmp_path / "direct.gguf"))
    again = run_gguf(GgufJob(str(made[through]), recipe("q4_k_m"), output=tmp_path / "again.gguf"))
    assert tensors(again.path) == tensors(direct.path)
    ours, theirs = open_gguf(again.path).keys, open_gguf(direct.path).keys
    assert ours.keys() == theirs.keys()
    for key in ours:
        if not key.startswith(("general.name", "general.basename", "general.size_label", "general.version")):
            assert np.array_equal(ours[key], theirs[key]), key


def test_manifest_names_the_file_alone(made: dict[str, Path], tmp_path: Path) -> None:
    result = run_gguf(GgufJob(str(made["q8_0"]), recipe("q4_0"), output=tmp_path / "out"))
    manifest = manifest_of(result.path)
    assert manifest is not None
    assert [path.name for path in result.path.glob("*.gguf")] == ["glm_tiny-Q4_0.gguf"]
    assert list(manifest.source.files) == ["glm_tiny-q8_0.gguf"]
    assert manifest.source.files["glm_tiny-q8_0.gguf"].sha256 == sha256_file(made["q8_0"])
    assert manifest.source.model_type == "glm"
    assert any("quantized GGUF (37 q8_0 of 50 tensors)" in note for note in manifest.notes)
    assert json.loads((result.path / "edgeconv.log.json").read_text())["source"] == str(made["q8_0"])


def test_a_plan_warns_and_writes_nothing(
    made: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for planned in (
        plan_gguf(GgufJob(str(made["q8_0"]), recipe("q4_k_m"))),
        plan(Job(str(made["q8_0"]), Request("int4"))),
    ):
        assert planned.source == "glm_tiny"
        assert any("lost stays lost" in note for note in planned.notes)
    assert list(tmp_path.iterdir()) == []


def test_a_file_has_no_revision(made: dict[str, Path]) -> None:
    with pytest.raises(UsageError, match="is a file, and a file has no revision"):
        plan_gguf(GgufJob(str(made["q8_0"]), recipe("q4_k_m"), revision="main"))


def constants(folder: Path) -> dict[str, Any]:
    """Constant → values, floats as float32."""
    import openvino

    model = openvino.Core().read_model(folder / "openvino_model.xml")
    nodes = [node for node in model.get_ordered_ops() if node.get_type_name() == "Constant"]
    floats = ("bf16", "f16", "f32")
    return {
        node.get_friendly_name(): node.get_data(dtype=np.float32)
        if node.get_element_type().get_type_name() in floats
        else np.array(node.data)
        for node in nodes
    }


@pytest.mark.parametrize("rope", ["source", "fused"])
def test_openvino_has_the_weights_of_the_checkpoint(
    rope: str, made: dict[str, Path], builtin_model: Path, tmp_path: Path
) -> None:
    request = Request("int4", group_size=64)
    found = [
        constants(run(Job(str(source), request, output=tmp_path / name, rope=rope)).path)
        for name, source in (("a", builtin_model), ("b", made["bf16"]))
    ]
    weights = {name for name in found[0] if name.startswith(("model.", "lm_head."))}
    assert len(weights) > 50
    for name in weights:
        assert np.array_equal(found[0][name], found[1][name]), name


def test_the_validator_finds_the_file_that_was_converted(made: dict[str, Path], tmp_path: Path) -> None:
    result = run(Job(str(made["q8_0"]), Request("int8"), output=tmp_path / "out"))
    pair = open_pair(result.path, None, Silent())
    assert pair.reference_name == "glm_tiny"
    assert pair.checkpoint.place == made["q8_0"]
    assert pair.stop_ids == [4084, 4091, 4093]
    manifest = json.loads((result.path / "edgeconv.json").read_text())
    manifest["source"]["files"]["glm_tiny-q8_0.gguf"]["sha256"] = "0" * 64
    (result.path / "edgeconv.json").write_text(json.dumps(manifest))
    with pytest.raises(ArtifactError, match="is not what this was converted from"):
        open_pair(result.path, None, Silent())


@pytest.mark.slow
def test_a_requantized_smollm2_is_that_of_the_checkpoint(smollm2_llama: Path, tmp_path: Path) -> None:
    """Llama's rows of q and k are reordered on the way in and back on the way out."""
    run_gguf(GgufJob(str(smollm2_llama), recipe("bf16"), output=tmp_path / "a.gguf"))
    again = run_gguf(GgufJob(str(tmp_path / "a.gguf"), recipe("q4_k_m"), output=tmp_path / "again.gguf"))
    direct = run_gguf(GgufJob(str(smollm2_llama), recipe("q4_k_m"), output=tmp_path / "direct.gguf"))
    assert tensors(again.path) == tensors(direct.path)
