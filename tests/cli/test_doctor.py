import importlib.metadata
import sys
from pathlib import Path

import pytest

from .conftest import Command


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
    monkeypatch.setitem(sys.modules, "openvino", None)
    result = edgeconv("doctor")
    assert result.code == 1
    assert "problem: openvino does not start" in result.out


def test_a_full_disk_is_a_warning(edgeconv: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    from edgeconv.validate import environment

    monkeypatch.setattr(environment, "_free_disk", lambda folder: 10**9)
    result = edgeconv("doctor")
    assert result.code == 0
    assert "warning: The disk of this folder has 1.0 GB free." in result.out
