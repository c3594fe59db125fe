"""What the campaigns have found, one test each: where a library's error came out, there is a sentence now."""

from __future__ import annotations

import io
import json
import threading
from pathlib import Path
from typing import Any

import pytest

from edgeconv.convert.gguf.read import open_gguf
from edgeconv.convert.safetensors_file import Header, SafetensorsFile
from edgeconv.core import torch_zip
from edgeconv.core.errors import ArtifactError, CheckpointError, UsageError
from edgeconv.core.file_digest import file_digest
from edgeconv.core.inputs import InputDigests
from edgeconv.core.manifest import FileDigest
from edgeconv.core.outputs import check_outputs
from edgeconv.core.progress import Silent
from edgeconv.hub.headers import read_header
from edgeconv.recipes.load import load
from edgeconv.recipes.unit import units

from ..convert.gguf.test_read import head, info
from . import seeds
from .bounds import bounded
from .graph_target import TANGLES, Graph, tangled


@pytest.mark.parametrize(
    ("entry", "says"),
    [
        ({"dtype": ["F32"]}, "unknown type"),  # TypeError: unhashable
        (
            {"shape": [1 << 63, 0], "data_offsets": [0, 0]},
            "than can be counted",
        ),  # ValueError of numpy, when it is used
    ],
)
def test_safetensors(entry: dict[str, Any], says: str, tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(seeds.safetensors({"a": {**seeds.TENSOR, **entry}}, 24))
    with pytest.raises(CheckpointError, match=says):
        SafetensorsFile(path)


@pytest.mark.parametrize("entry", [7, None, [], {"dtype": "F32"}, {**seeds.TENSOR, "data_offsets": [0, None]}])
def test_a_header_from_the_hub(entry: Any) -> None:
    """Only the length of the data was taken from it, before it was checked."""
    with pytest.raises(CheckpointError, match=r"not one of safetensors|do not agree"):
        Header("model.safetensors", 100, {"a": entry, "b": seeds.TENSOR})


def test_gguf_dimensions_for_which_numpy_has_no_room(tmp_path: Path) -> None:
    (tmp_path / "x.gguf").write_bytes(seeds.GGUF_ATTACKS["a dimension of 0 beside 2^63"])
    with pytest.raises(ArtifactError, match="than can be counted"):
        open_gguf(tmp_path / "x.gguf")


@pytest.mark.parametrize("shape", [(0, 256), (256, 0)])
def test_gguf_tensors_without_values(shape: tuple[int, int], tmp_path: Path) -> None:
    """ValueError of numpy in gguf's de-quantizer."""
    path = tmp_path / "x.gguf"
    path.write_bytes(head(infos=info("a", shape, kind=12)) + bytes(64))
    assert open_gguf(path).dequantized("a", 0, 2).size == 0


@pytest.mark.parametrize("cut", range(1, 40, 3))
def test_a_zip_whose_directory_points_before_the_file(cut: int) -> None:
    """zipfile's ValueErrors and OSErrors."""
    data = seeds.torch_file()[cut:]
    for read in (
        lambda: torch_zip.read(io.BytesIO(data), "x.bin"),
        lambda: read_header(lambda start, count: data[start : start + count], len(data), "x.bin"),
    ):
        with pytest.raises(CheckpointError):
            read()


@pytest.mark.parametrize("value", ["!!int ''", "!!bool maybe", "!!float ''", "!!timestamp x"])
def test_yaml_values_of_a_stated_type(value: str, tmp_path: Path) -> None:
    """PyYAML's IndexError, KeyError and AttributeError."""
    (tmp_path / "r.yaml").write_text(seeds.RECIPE.replace("org/name", value))
    with pytest.raises(UsageError, match=r"r\.yaml:4: .* cannot be read"):
        load(tmp_path / "r.yaml")


@pytest.mark.parametrize("line", ['name: "a\\ud800"', '"b\\ud800": 1'])
def test_a_recipe_with_half_a_character(line: str, tmp_path: Path) -> None:
    """UnicodeEncodeError, as soon as it became a path."""
    (tmp_path / "r.yaml").write_text(f"recipe: 1\n{line}\n")
    with pytest.raises(UsageError, match=r"r\.yaml:2: .*is not Unicode"):
        load(tmp_path / "r.yaml")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("name: small", "name: ../small"),
        ("name: small", "name: /tmp/small"),
        ("precision: int8", "precision: int8\n    output: ../out"),
        ("precision: int8", "precision: int8\n    output: /tmp/out"),
        ("precision: int8", "precision: int8\n    output: a/../../out"),
        ("precision: int8", 'precision: int8\n    output: "a\\0"'),
    ],
)
def test_a_recipe_writes_only_below_the_folder_of_the_run(old: str, new: str, tmp_path: Path) -> None:
    (tmp_path / "r.yaml").write_text(seeds.RECIPE.replace(old, new))
    with pytest.raises(UsageError, match="is not in the folder of the run"):
        units(load(tmp_path / "r.yaml"), tmp_path / "r.yaml", tmp_path / "out")


def test_a_manifest_with_a_name_that_no_file_can_have(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="File name too long") as caught:
        check_outputs(tmp_path, {"x" * 5000: FileDigest(size=1, sha256="")}, Silent())
    assert len(caught.value.message) < 1100


def test_a_thread_that_fails_is_heard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Found with little memory: digests were missing, and a traceback was printed."""

    def fails(*_: object) -> str:
        raise MemoryError

    (tmp_path / "a").write_text("a")
    monkeypatch.setattr("edgeconv.core.unchanged.Unchanged.sha256", fails)
    monkeypatch.setattr(threading, "excepthook", lambda _: pytest.fail("a traceback"))
    digests = InputDigests(tmp_path, ["a"], {}, Silent())
    with pytest.raises(MemoryError):
        digests.result()


def test_a_cache_that_cannot_be_written_to_costs_time_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import numpy as np

    from edgeconv.validate import cache

    (tmp_path / "file").write_text("x")
    monkeypatch.setenv("EDGECONV_CACHE", str(tmp_path / "file"))
    told: list[str] = []

    class Told(Silent):
        def note(self, message: str) -> None:
            told.append(message)

    cache.put("key", [np.zeros(3)], [], "states", Told())
    assert len(file_digest(tmp_path / "file", Told())) == 64
    assert len(told) == 2
    assert all("not kept for the next run" in sentence for sentence in told), json.dumps(told)


@pytest.mark.parametrize("kind", TANGLES)
def test_a_graph_of_long_or_doubling_paths(kind: str, tmp_path: Path) -> None:
    """RecursionError in the search for weights, AWQ's divisions and windows; or no end, where each path was walked by itself."""
    target = Graph(tmp_path)
    xml, weights = tangled(kind)
    (target.folder / "openvino_model.bin").write_bytes(weights)
    with bounded(tmp_path):
        taken = target.run(xml)
    assert taken is (kind != "divisions")
