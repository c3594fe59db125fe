"""Before a conversion: every file in the repository that the publication would find in its way is named."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edgeconv.builtin import model_path
from edgeconv.core.manifest import read_manifest
from edgeconv.core.progress import Silent
from edgeconv.recipes import expected
from edgeconv.recipes.load import load
from edgeconv.recipes.run import carry_out
from edgeconv.recipes.unit import Unit, units

from ..cli.conftest import Command
from ..hub.server import HubServer

RECIPE = """\
recipe: 1
name: small
source:
  model: {model}
targets:
  t:
    format: {format}
    {options}
    smoke_test: false
    {parity}
    publish: {{repo: org/there{more}}}
"""
FORMATS = {"openvino": "precision: int8", "gguf": "type: q8_0", "onnx": "precision: int8"}


def unit(root: Path, model: Path, kind: str, *, measured: bool = True, more: str = "") -> Unit:
    more += "" if measured else ", allow_unvalidated: true"
    parity = "quick: true" if measured else "parity: false"
    (root / "r.yaml").write_text(
        RECIPE.format(model=model, format=kind, options=FORMATS[kind], parity=parity, more=more)
    )
    return units(load(root / "r.yaml"), root / "r.yaml", root / "out")[0]


@pytest.mark.parametrize("kind", FORMATS)
def test_every_file_of_a_conversion_is_expected(kind: str, tiny_model: Callable[..., Path], tmp_path: Path) -> None:
    model = tmp_path / "model"
    model.mkdir()
    for path in tiny_model("llama").iterdir():
        (model / path.name).symlink_to(path)
    (model / "LICENSE").write_text("mine")
    (model / "additional_chat_templates").mkdir()
    (model / "additional_chat_templates" / "tools.jinja").write_text("{{ tools }}")
    one = unit(tmp_path, model, kind, measured=False)
    said = set(expected.files(one, Silent()))
    done = carry_out(one, Silent(), publishing=False)
    assert done.error is None
    assert set(read_manifest(one.output).outputs) <= said
    assert not said & set(expected.REPORT)


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("openvino", "openvino_model.bin"), ("openvino", "config.json"), ("openvino", "tokenizer.json"),
        ("openvino", "parity/parity.html"), ("gguf", "glm_tiny-Q8_0.gguf"), ("onnx", "model.onnx_data"),
    ],
)  # fmt: skip
def test_a_dry_run_names_what_is_in_the_way(
    kind: str, name: str, writable: HubServer, edgeconv: Command, tmp_path: Path
) -> None:
    source = model_path()
    writable.add_repo("org/there", {name: b"theirs", "notes.md": b"theirs too"})
    line: tuple[Any, ...] = ("run", tmp_path / "r.yaml", "--output", tmp_path / "out", "--publish")
    unit(tmp_path, source, kind)
    for ran in (edgeconv(*line, "--dry-run"), edgeconv(*line)):
        assert ran.code == 4, ran.err
        assert f"--replace {name}" in ran.err + ran.out
        assert "notes.md" not in ran.err + ran.out
    assert not (tmp_path / "out" / "small-t").exists()  # nothing was converted
    unit(tmp_path, source, kind, more=f", replace: [{name}]")
    assert edgeconv(*line, "--dry-run").code == 0


def test_a_unit_that_cannot_be_planned_hears_of_the_repository_too(
    writable: HubServer, edgeconv: Command, tmp_path: Path
) -> None:
    writable.add_repo("org/there", {"README.md": b"theirs"})
    unit(tmp_path, tmp_path / "absent", "openvino")
    ran = edgeconv("run", tmp_path / "r.yaml", "--output", tmp_path / "out", "--publish", "--dry-run")
    assert ran.code != 0
    assert "--replace README.md" in ran.err + ran.out
