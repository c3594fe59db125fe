"""CONTRIBUTING's "How to add a format", followed in a copy of the package: a file, a line and a name plan and make a new one."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

import edgeconv

from .. import test_format_names

ROOT = Path(edgeconv.__file__).resolve().parent
FORMAT = '''
"""Raw: every tensor's bytes behind each other."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from ...core.inputs import InputDigests
from ...core.manifest import Manifest, TensorEntry
from .artifact import bits_per_weight, outputs, source_of, versions
from .conflicts import Conflict
from .cost import Cost, cost
from .format import BaseJob, Format
from .smoke import Runner, Smoke

FILE = "weights.raw"


@dataclass(frozen=True)
class RawPlan:
    engine: str
    output: Path
    output_bytes: int
    cost: Cost | None = None
    smoke_test: Smoke | None = None
    conflicts: list[Conflict] = field(default_factory=list)

    def as_dict(self):
        return {"output": str(self.output), "output_bytes": self.output_bytes}

    def rows(self):
        return [("output", str(self.output))]


@dataclass(frozen=True)
class RawJob(BaseJob[RawPlan]):
    format: ClassVar[str] = "raw"
    model: str
    output: Path | None = None
    revision: str | None = None
    force: bool = False
    local_files_only: bool = False
    keeps_digests: bool = False
    smoke_test: bool | None = None


@dataclass(frozen=True)
class Prepared:
    plan: RawPlan


class Raw(Format[RawJob, Prepared]):
    name, title, hub_library = "raw", "Raw", "edgeconv"
    runner = Runner("nothing", "nothing", 1.0)
    precedence = 9

    def require(self, config, names, sentence=None):
        pass

    def holds(self, path):
        return (path / FILE).is_file()

    def prepare(self, job, opened, collector, progress=None):
        size = sum(opened.checkpoint.info(name).end - opened.checkpoint.info(name).start for name in opened.checkpoint.names)
        output = job.output or Path(f"{opened.base_name}-raw")
        return Prepared(RawPlan("stream", output, size, cost(opened.pending, output, size, 0), None, collector.conflicts()))

    def write(self, ready, job, opened, folder, progress):
        checkpoint, entries = opened.checkpoint, []
        digests = InputDigests(checkpoint.origin, sorted(checkpoint.shards), opened.known, progress, checkpoint.unchanged)
        with (folder / FILE).open("wb") as file:
            for name in sorted(checkpoint.names):
                info = checkpoint.info(name)
                file.write(checkpoint.tensor(name).tobytes())
                entries.append(TensorEntry(name=name, shape=list(info.shape), precision="raw",
                                           bytes=info.end - info.start))
        return Manifest(
            target="raw", source=source_of(checkpoint, opened.repo_id, opened.commit, digests.result()), engine="stream",
            compressor="none", scheme={}, bits_per_weight=bits_per_weight(entries), tensors=entries,
            versions=versions(["edgeconv"]), outputs=outputs(folder, {}),
        )

    def published(self, job, open_headers, planned):
        return (FILE,)


RAW = Raw()
'''
EDITS = {
    "convert/conversion/formats.py": [
        ("from .openvino import OPENVINO\n", "from .openvino import OPENVINO\nfrom .raw import RAW\n"),
        ("(OPENVINO, GGUF, ONNX)", "(OPENVINO, GGUF, ONNX, RAW)"),
    ],
    "core/format_names.py": [('"onnx"]', '"onnx", "raw"]')],
}
"""What the guide asks for beside the file."""
USE = """
import importlib, json, sys
from pathlib import Path
from edgeconv.convert import conversion
from edgeconv.convert.conversion.raw import RawJob
from edgeconv.core.manifest import read_manifest

source, out, *tables = sys.argv[1:]
planned = conversion.plan(RawJob(source, Path(out)))
made = conversion.run(RawJob(source, Path(out)))
found = conversion.recognize(made.path)
lacking = []
for table in tables:
    module, name = table.split(":")
    if "raw" not in getattr(importlib.import_module(f"edgeconv.{module}"), name):
        lacking.append(table)
print(json.dumps({
    "where": conversion.__file__, "planned": planned.output_bytes, "made": (made.path / "weights.raw").stat().st_size,
    "found": found.title, "manifest": conversion.format_of(read_manifest(made.path)).name, "lacking": lacking,
}))
"""


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A folder with a copy of the package, into which the guide's steps were done."""
    copy = tmp_path / "copy" / "edgeconv"
    listed = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["setuptools"]["packages"]
    top = {name.split(".")[1] for name in listed if "." in name}
    for name in top:
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "__init__.py", copy)
    (copy / "convert" / "conversion" / "raw.py").write_text(FORMAT.strip() + "\n")
    for file, changes in EDITS.items():
        text = (copy / file).read_text("utf-8")
        for before, after in changes:
            assert text.count(before) == 1
            text = text.replace(before, after)
        (copy / file).write_text(text)
    return copy.parent


def test_a_file_a_line_and_a_name_are_a_format(package: Path, tiny_model: Callable[..., Path], tmp_path: Path) -> None:
    tables = [f"{module}:{name}" for module, name in test_format_names.TABLES.items()]
    command = [sys.executable, "-c", USE, str(tiny_model("llama")), str(tmp_path / "out"), *tables]
    ran = subprocess.run(
        command, capture_output=True, text=True, check=False, cwd=package, env={"PYTHONPATH": str(package), "PATH": ""}
    )
    assert ran.returncode == 0, ran.stderr
    said = json.loads(ran.stdout.splitlines()[-1])
    assert said["where"].startswith(str(package))
    assert said["planned"] == said["made"] > 0
    assert (said["found"], said["manifest"]) == ("Raw", "raw")
    assert said["lacking"] == tables  # which the guide lists, and tests/test_format_names.py misses


def test_the_guide_names_every_table_and_file() -> None:
    guide = (ROOT / "CONTRIBUTING.md").read_text("utf-8").partition("## How to add a format")[2].partition("\n## ")[0]
    assert [file for file in EDITS if f"`{file}`" not in guide] == []
    assert [name for name in test_format_names.TABLES.values() if f"`{name}`" not in guide] == []
