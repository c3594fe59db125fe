import importlib.metadata
import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from edgeconv.convert.conversion import FORMATS

from ..hub import conftest as of_the_hub
from ..hub.server import HubServer
from .conftest import Command

hub = of_the_hub.hub


def test_a_sound_machine(edgeconv: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    result = edgeconv("doctor")
    assert result.code == 0, result.out
    for name in (
        "python",
        "openvino",
        "openvino-genai",
        "nncf",
        "transformers",
        "torch",
        "huggingface_hub",
        "device CPU",
    ):
        assert name in result.out
    assert importlib.metadata.version("nncf") in result.out


def test_what_quantizes_for_gguf_is_said(edgeconv: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGECONV_KERNELS", "ggml")
    assert "GGUF quantizer:        libggml-python 0." in edgeconv("doctor").out
    assert "slower" in edgeconv("doctor", "--json").data["gguf_quantiser"]


def test_the_token_is_never_shown(edgeconv: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    result, document = edgeconv("doctor"), edgeconv("doctor", "--json")
    assert "hf_secret" not in result.out + result.err + document.out + document.err
    assert document.data["token"] is True


def test_no_token(edgeconv: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from huggingface_hub import constants

    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "absent"))
    assert edgeconv("doctor", "--json").data["token"] is False


def lie(monkeypatch: pytest.MonkeyPatch, package: str, version: str | None) -> None:
    true_version = importlib.metadata.version

    def answer(name: str) -> str:
        if name != package:
            return true_version(name)
        if version is None:
            raise importlib.metadata.PackageNotFoundError(name)
        return version

    monkeypatch.setattr(importlib.metadata, "version", answer)


def test_a_missing_package(edgeconv: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    lie(monkeypatch, "nncf", None)
    result = edgeconv("doctor")
    assert result.code == 1
    assert "problem: nncf is not installed.\n   hint: pip install 'nncf==" in result.out
    assert edgeconv("doctor", "--json").data["ok"] is False


def test_a_version_out_of_range(edgeconv: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    lie(monkeypatch, "transformers", "4.40.0")
    result = edgeconv("doctor")
    assert result.code == 1
    assert "problem: transformers is 4.40.0, but edgeconv needs " in result.out


def test_openvino_packages_of_different_releases(edgeconv: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    lie(monkeypatch, "openvino-tokenizers", "2026.5.0")
    result = edgeconv("doctor")
    assert result.code == 1
    assert "of different releases" in result.out


def test_numpy_instead_of_kernels_is_no_fault(edgeconv: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    from edgeconv.quantize import native

    monkeypatch.setattr(native, "load", lambda: None)
    result = edgeconv("doctor")
    assert result.code == 0
    assert "warning: The compiled kernels are not in use" in result.out


def test_an_openvino_that_does_not_start(edgeconv: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    from edgeconv.core import openvino_core

    monkeypatch.setattr(openvino_core, "_made", openvino_core._made.__wrapped__)  # an earlier test may have started it
    monkeypatch.setitem(sys.modules, "openvino", None)
    result = edgeconv("doctor")
    assert result.code == 1
    assert "problem: openvino does not start" in result.out


def test_a_full_disk_is_a_warning(edgeconv: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    from edgeconv.study import doctor as environment

    monkeypatch.setattr(environment, "_free_disk", lambda folder: 10**9)
    result = edgeconv("doctor")
    assert result.code == 0
    assert "warning: The disk of this folder has 1.0 GB free." in result.out


@pytest.fixture
def shards(tiny_vision_model: Callable[..., Path], hub: HubServer) -> dict[str, int]:
    """A GLM-Edge-V on the Hub as org/name; the sizes of its shards."""
    folder = tiny_vision_model(max_shard_size="600KB")
    hub.add_repo("org/name", folder)
    return {path.name: path.stat().st_size for path in folder.glob("*.safetensors")}


def test_a_model_of_the_hub_is_told_by_its_headers(edgeconv: Command, hub: HubServer, shards: dict[str, int]) -> None:
    result = edgeconv("doctor", "--model", "org/name", "--json")
    assert result.code == 0, result.err
    data = result.data
    assert (data["source"], data["model_type"], data["ok"]) == ("org/name", "glm_edge_v", True)
    assert data["bytes"] == sum(shards.values())
    assert {row["status"] for row in data["rows"]} == {"ok", "assumed"}
    asked = hub.asked(r"\.safetensors$")
    assert {request.path.rsplit("/", 1)[-1] for request in asked} == set(shards)
    assert all(request.headers["range"] == "bytes=0-65535" for request in asked)
    assert len(hub.asked(r"/storage/")) == len(shards) > 1
    assert not hub.asked(r"\.py$")


def test_no_shard_is_kept(edgeconv: Command, hub: HubServer, shards: dict[str, int], tmp_path: Path) -> None:
    assert edgeconv("doctor", "--model", "org/name@main").code == 0
    kept = [path for path in (tmp_path / "hf").rglob("*") if path.is_file()]
    assert any(path.name == "tokenizer.json" for path in kept)
    assert not any(path.suffix == ".safetensors" for path in kept)
    assert all(path.stat().st_size not in shards.values() for path in kept)


def test_a_revision(edgeconv: Command, hub: HubServer, shards: dict[str, int]) -> None:
    repo = hub.repos["org/name"]
    good = repo.refs["main"]
    repo.push({**repo.commits[good], "preprocessor_config.json": b"{}"}, "main")
    wrong = edgeconv("doctor", "--model", "org/name", "--json")
    assert (wrong.code, wrong.data["ok"], wrong.data["commit"]) == (1, False, repo.refs["main"])
    sound = edgeconv("doctor", "--model", "org/name", "--revision", good, "--json")
    assert (sound.code, sound.data["ok"], sound.data["commit"]) == (0, True, good)


def test_what_a_person_sees_of_a_sound_model(edgeconv: Command, tiny_vision_model: Callable[..., Path]) -> None:
    result = edgeconv("doctor", "--model", tiny_vision_model())
    assert result.code == 0
    assert "glm_edge_v, 0.7 M parameters, 1.31 MB of weights, of which none was read" in result.out
    assert re.search(r"^ok +pictures: image tokens +6 <\|begin_of_image\|> a picture", result.out, re.MULTILINE)
    assert (
        "assumed: config: the adapter's GELU is exact: no config states it\n   because: the adapter's tensors"
        in result.out
    )
    assert "\n27 ok, 5 assumed, 0 wrong.\n" in result.out
    assert [line.split()[:3] for line in result.out.splitlines()[-3:]] == [[name, "yes", "stream"] for name in FORMATS]


def test_what_a_person_sees_of_a_wrong_model(
    edgeconv: Command, tiny_model: Callable[..., Path], tmp_path: Path
) -> None:
    folder = shutil.copytree(tiny_model("glm"), tmp_path / "model")
    (folder / "chat_template.jinja").unlink()
    result = edgeconv("doctor", "--model", folder)
    assert result.code == 1
    assert "wrong: template: chat template: none\n   hint: A base model" in result.out
    assert "1 wrong.\n" in result.out
    assert result.err == ""


def test_a_revision_needs_a_model(edgeconv: Command, tiny_model: Callable[..., Path]) -> None:
    result = edgeconv("doctor", "--revision", "main", "--json")
    assert (result.code, result.error["kind"]) == (2, "UsageError")
    assert edgeconv("doctor", "--revision", "main", "--model", tiny_model("glm")).code == 2
    assert "--format has no meaning" in edgeconv("doctor", "--format", "gguf", "--json").error["message"]


@pytest.mark.parametrize("name", FORMATS)
def test_each_format_says_what_its_plan_says(edgeconv: Command, tiny_model: Callable[..., Path], name: str) -> None:
    folder = str(tiny_model("llama"))
    (said,) = edgeconv("doctor", "--model", folder, "--format", name, "--json").data["formats"]
    planned = edgeconv(name, "--model", folder, "--dry-run", "--json").data
    assert (said["format"], said["converts"], said["engine"]) == (name, True, planned["engine"])
    for key in ("output_bytes", "memory_bytes", "fetch"):
        assert said["cost"][key] == planned["cost"][key]
    assert said["cost"]["output_bytes"] == planned["output_bytes"] > 100_000


def test_a_format_that_cannot_gives_the_refusal_of_its_command(
    edgeconv: Command, tiny_model: Callable[..., Path]
) -> None:
    folder = tiny_model("starcoder2")  # no row of its tables for GGUF
    result = edgeconv("doctor", "--model", folder, "--json")
    found = {one["format"]: one for one in result.data["formats"]}
    assert {name: one["converts"] for name, one in found.items()} == {"openvino": True, "gguf": False, "onnx": True}
    refused = edgeconv("gguf", "--model", folder, "--dry-run", "--json").error
    (conflict,) = found["gguf"]["conflicts"]
    assert (conflict["message"], conflict["hint"]) == (refused["message"], refused["hint"])
    assert result.code == 0  # two formats take it
    text = edgeconv("doctor", "--model", folder, "--format", "gguf")
    assert text.code == 1
    assert text.out.splitlines()[-2] == f"gguf: {refused['message']}"
    assert re.search(r"^gguf +no\s*$", text.out, re.MULTILINE)


def test_a_full_disk_stands_against_every_format(
    edgeconv: Command, tiny_model: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(1, 1, 1))  # type: ignore[attr-defined]
    result = edgeconv("doctor", "--model", tiny_model("llama"), "--json")
    assert result.code == 1
    for one in result.data["formats"]:
        assert "has 0.0 MB free" in one["conflicts"][0]["message"]
        assert one["engine"] == "stream"


def test_what_lies_under_a_results_name_is_no_obstacle(
    edgeconv: Command, tiny_model: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tiny_model("llama")
    monkeypatch.chdir(tmp_path)
    assert edgeconv("gguf", "--model", folder).code == 0
    assert edgeconv("gguf", "--model", folder, "--dry-run").code != 0
    (said,) = edgeconv("doctor", "--model", folder, "--format", "gguf", "--json").data["formats"]
    assert said["converts"]


@pytest.mark.parametrize(("model", "code"), [("org/absent", 4), ("./absent", 1), ("not an id", 2)])
def test_a_model_that_is_not_there(model: str, code: int, edgeconv: Command, hub: HubServer) -> None:
    result = edgeconv("doctor", "--model", model, "--json")
    assert result.code == code
    assert result.error["hint"]
