"""A source that changes while it is converted: nothing is written, and the file is named, whatever form it has and when it is."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edgeconv.convert import conversion as openvino_pipeline
from edgeconv.convert.conversion import GgufJob, run
from edgeconv.convert.gguf import export
from edgeconv.convert.gguf.recipe import recipe
from edgeconv.core.errors import CheckpointError


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGECONV_CACHE", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def sources(builtin_model: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The built-in model as safetensors, as a pickle of torch, and as a GGUF: form → the file of its weights."""
    import torch
    from safetensors.torch import load_file

    root = tmp_path_factory.mktemp("sources")
    plain = shutil.copytree(builtin_model, root / "plain")
    pickled = shutil.copytree(builtin_model, root / "pickled")
    torch.save(load_file(pickled / "model.safetensors"), pickled / "pytorch_model.bin")
    (pickled / "model.safetensors").unlink()
    run(GgufJob(str(builtin_model), recipe("f32"), output=root / "gguf" / "x.gguf"))
    return {
        "safetensors": plain / "model.safetensors",
        "pickle": pickled / "pytorch_model.bin",
        "gguf": root / "gguf" / "x.gguf",
    }


def replace(path: Path) -> None:
    shutil.copyfile(path, path.with_name("other"))
    path.with_name("other").rename(path)


def write(path: Path) -> None:
    with path.open("r+b") as file:
        file.seek(path.stat().st_size // 2)
        file.write(b"\x00\x01")


def cut(path: Path) -> None:
    os.truncate(path, 1 << 16)


def append(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"\0")


CHANGES = {"replaced": replace, "written": write, "cut short": cut, "appended to": append, "removed": Path.unlink}


def converted(source: Path, output: Path, when: str, change: Callable[[], None], patch: pytest.MonkeyPatch) -> None:
    true = export.export

    def between(*arguments: Any, **options: Any) -> Any:
        if when == "before":
            change()
        made = true(*arguments, **options)
        if when == "after":
            change()
        return made

    patch.setattr(export, "export", between)
    model = source if source.suffix == ".gguf" else source.parent
    run(GgufJob(str(model), recipe("q4_k_m"), output=output))


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("form", ["safetensors", "pickle", "gguf"])
def test_weights_that_change(
    form: str, change: str, when: str, sources: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = shutil.copytree(sources[form].parent, tmp_path / "source")
    source = folder / sources[form].name
    (tmp_path / "work").mkdir()
    with pytest.raises((CheckpointError, FileNotFoundError)) as caught:
        converted(source, tmp_path / "work" / "y.gguf", when, lambda: CHANGES[change](source), monkeypatch)
    assert str(source) in str(caught.value)
    assert list((tmp_path / "work").iterdir()) == []


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "README.md"])
def test_small_files_that_change(
    name: str, sources: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = shutil.copytree(sources["safetensors"].parent, tmp_path / "source")
    (folder / "README.md").write_text("---\nlicense: mit\n---\n")
    (tmp_path / "work").mkdir()
    with pytest.raises(CheckpointError, match=rf"{name} was written, replaced or removed while it was read"):
        converted(
            folder / "model.safetensors",
            tmp_path / "work" / "y.gguf",
            "after",
            lambda: replace(folder / name),
            monkeypatch,
        )
    assert list((tmp_path / "work").iterdir()) == []


def test_a_source_that_stays(sources: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The control: the same run with reads of others in between is not refused."""
    folder = shutil.copytree(sources["safetensors"].parent, tmp_path / "source")
    weights = folder / "model.safetensors"
    converted(weights, tmp_path / "y.gguf", "before", lambda: bool(weights.read_bytes()) and None, monkeypatch)
    assert (tmp_path / "y.gguf").is_file()


def test_openvino_too(sources: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from edgeconv.convert.openvino import stream
    from edgeconv.quantize.scheme import Request

    folder = shutil.copytree(sources["safetensors"].parent, tmp_path / "source")
    true = stream.export

    def between(*arguments: Any, **options: Any) -> Any:
        cut(folder / "model.safetensors")
        return true(*arguments, **options)

    monkeypatch.setattr(stream, "export", between)
    (tmp_path / "work").mkdir()
    with pytest.raises(CheckpointError, match=r"model\.safetensors was written, replaced or removed"):
        openvino_pipeline.run(
            openvino_pipeline.Job(str(folder), Request("int4", group_size=32), output=tmp_path / "work" / "out")
        )
    assert list((tmp_path / "work").iterdir()) == []
