"""What `doctor --model` says of the pictures of every family that transformers' processors prepare them for."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edgeconv.convert import families

from ..models import tiny_vlm
from .assumed import rows

FAMILIES = [kind for kind in families.vision_language_types() if kind in tiny_vlm.FAMILIES]
ROWS = ["processor", "pixels", "placeholder", "places"]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """A factory of tiny checkpoints, one a family. Read-only."""
    made: dict[str, Path] = {}

    def make(kind: str) -> Path:
        if kind not in made:
            made[kind] = tiny_vlm.make(kind, tmp_path_factory.mktemp(kind))
        return made[kind]

    return make


@pytest.mark.parametrize("kind", FAMILIES)
def test_every_family(kind: str, checkpoint: Callable[[str], Path]) -> None:
    found = rows(checkpoint(kind))
    assert {name: row.found for name, row in found.items() if row.status == "wrong"} == {}
    for name in ROWS:
        assert found[f"pictures: {name}"].status == "ok"
    assert "template: text" not in found


def stated(name: str, **fields: Any) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        content = json.loads((folder / name).read_text())
        (folder / name).write_text(json.dumps(content | fields))

    return change


def without(name: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).unlink()


def no_marker(folder: Path) -> None:
    path = folder / "chat_template.jinja"
    path.write_text(path.read_text().replace("<|image_pad|>", ""))


FAULTS: dict[str, tuple[str, Callable[[Path], None], str, str]] = {
    "patches of another size": (
        "qwen2_vl", stated("preprocessor_config.json", patch_size=16), "pixels", "pixel_values is [",
    ),
    "a square of another size": (
        "gemma3", stated("preprocessor_config.json", size={"height": 28, "width": 28}), "pixels", "[1, 3, 28, 28]",
    ),
    "a row too many": ("gemma3", stated("processor_config.json", image_seq_length=5), "places", "5 for 320 x 240"),
    "another token": ("qwen2_vl", stated("config.json", image_token_id=4100), "placeholder", "4101"),
    "no marker": ("qwen2_vl", no_marker, "places", "0 tokens that stand for pictures"),
    "no file": ("qwen2_vl", without("preprocessor_config.json"), "processor", "has no preprocessor_config.json"),
    "an unknown class": (
        "qwen2_vl", stated("preprocessor_config.json", processor_class="ClapProcessor"), "processor", "ClapProcessor",
    ),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault(fault: str, checkpoint: Callable[[str], Path], tmp_path: Path) -> None:
    kind, change, name, said = FAULTS[fault]
    folder = shutil.copytree(checkpoint(kind), tmp_path / "model")
    change(folder)
    row = rows(folder)[f"pictures: {name}"]
    assert row.status == "wrong"
    assert said in row.found
    assert row.note
