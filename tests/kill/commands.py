"""The commands that are killed: what they are given, and what there must be before, between and after."""

from __future__ import annotations

import hashlib
import json
import shutil
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

from edgeconv.builtin import model_path
from edgeconv.core.manifest import LOG_NAME, MANIFEST_NAME, Manifest, sidecar
from edgeconv.publish import record

from ..hub.server import HubServer
from ..words import WORDS

SMALL = ("--budget", "top1=0")
"""One choice of a hundred that differs says too little to judge."""
RECIPE = """\
name: small
source:
  model: {model}
targets:
  good:
    format: openvino
    precision: int8
    suite: words.jsonl
    quick: true
    budget: {{top1: 0}}
    publish: {{repo: {repo}}}
"""


def digests(place: Path) -> dict[str, str]:
    """Name → SHA-256 of every file below a folder."""
    return {
        str(path.relative_to(place)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(place.rglob("*"))
        if path.is_file()
    }


class Stage:
    """What all commands share: the built-in checkpoint, texts, and an artefact with its report."""

    def __init__(self, root: Path, hub: HubServer) -> None:
        self.root, self.hub = root, hub
        self.source, self.artefact, self.words = root / "source", root / "artefact", root / "words.jsonl"
        shutil.copytree(model_path(), self.source)
        self.words.write_text(WORDS)

    def inputs(self) -> dict[str, str]:
        """Digests of whatever no command may touch."""
        return {**digests(self.source), **digests(self.artefact), "words.jsonl": self.words.read_text()}


class Command(ABC):
    """One command line in a folder of its own, `root`; `name` is how figures call it."""

    name: str

    def __init__(self, stage: Stage) -> None:
        self.stage = stage

    def prepare(self, root: Path) -> None:  # noqa: B027 - most need nothing
        """Put into the folder what must be there before the first run."""

    @abstractmethod
    def arguments(self, root: Path) -> list[str]:
        """Return the command line."""

    @abstractmethod
    def result(self, root: Path) -> Any:
        """Return what an undisturbed run would make equal; None: there is nothing under the final name.

        Raises AssertionError if there is something, and it is not whole.
        """

    def again(self, code: int, said: str, before: Any) -> bool:
        """Whether the run after a kill ended well, given what lay there before it."""
        return code == 0


def whole(manifest: Path, folder: Path) -> dict[str, str]:
    """Check an artefact against its manifest, and return the digests of its files."""
    outputs = Manifest.model_validate_json(manifest.read_bytes()).outputs
    found = {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in outputs}
    assert found == {name: file.sha256 for name, file in outputs.items()}, "an artefact that is not whole"
    return {**found, manifest.name: hashlib.sha256(manifest.read_bytes()).hexdigest()}


class _Conversion(Command):
    def again(self, code: int, said: str, before: Any) -> bool:
        return code == 0 or (before is not None and code == 1 and "--force" in said)


class OpenVINO(_Conversion):
    name = "openvino"

    def arguments(self, root: Path) -> list[str]:
        return ["openvino", "-m", str(self.stage.source), "-p", "int8", "-o", "out"]

    def result(self, root: Path) -> Any:
        out = root / "out"
        if not out.exists():
            return None
        assert {path.name for path in out.iterdir()} >= {MANIFEST_NAME, LOG_NAME, "openvino_tokenizer.bin"}
        return whole(out / MANIFEST_NAME, out)


class Forced(OpenVINO):
    """Over an older artefact, which must be there, whole, until the new one is."""

    name = "openvino --force"

    def prepare(self, root: Path) -> None:
        shutil.copytree(self.stage.artefact, root / "out")
        (root / "out" / ".git").mkdir()
        (root / "out" / ".git" / "HEAD").write_text("mine")

    def arguments(self, root: Path) -> list[str]:
        return ["openvino", "-m", str(self.stage.source), "-p", "int8", "--group-size", "-1", "-o", "out", "--force"]

    def result(self, root: Path) -> Any:
        assert (root / "out").is_dir(), "neither the old artefact nor the new one"
        places = [*root.glob("out/.git/HEAD"), *root.glob("out.partial-*/*/.git/HEAD")]  # the second until the next run
        assert [place.read_text() for place in places] == ["mine"], "a file of the user's is gone"
        return super().result(root)


class Onnx(_Conversion):
    name = "onnx"

    def arguments(self, root: Path) -> list[str]:
        return ["onnx", "-m", str(self.stage.source), "-p", "int4", "-o", "out"]

    def result(self, root: Path) -> Any:
        out = root / "out"
        if not out.exists():
            return None
        assert {path.name for path in out.iterdir()} >= {
            MANIFEST_NAME,
            LOG_NAME,
            "model.onnx_data",
            "genai_config.json",
        }
        return whole(out / MANIFEST_NAME, out)


class Gguf(_Conversion):
    """Several files beside each other, which no single rename can put in place."""

    name = "gguf"

    def arguments(self, root: Path) -> list[str]:
        return ["gguf", "-m", str(self.stage.source), "--split-max-size", "2M", "-o", "x.gguf"]

    def result(self, root: Path) -> Any:
        manifest = sidecar(root / "x.gguf")
        return whole(manifest, root) if manifest.exists() else None


class Validate(Command):
    name = "validate"

    def arguments(self, root: Path) -> list[str]:
        return [
            "validate",
            str(self.stage.artefact),
            "--suite",
            str(self.stage.words),
            "--quick",
            *SMALL,
            "--report",
            "report",
        ]

    def result(self, root: Path) -> Any:
        return figures(root / "report")


class Run(Command):
    """Convert, measure, publish."""

    name = "run"

    def _repo(self, root: Path) -> str:
        return f"org/{root.name}"

    def prepare(self, root: Path) -> None:
        (root / "words.jsonl").write_text(WORDS)
        (root / "r.yaml").write_text(RECIPE.format(model=json.dumps(str(self.stage.source)), repo=self._repo(root)))

    def arguments(self, root: Path) -> list[str]:
        return ["run", "r.yaml", "--output", "out", "--publish"]

    def result(self, root: Path) -> Any:
        out = root / "out" / "small-good"
        if not out.exists():
            return None
        made = whole(out / MANIFEST_NAME, out)
        return made, figures(out / "parity"), published(self.stage.hub, self._repo(root))


class Publish(Command):
    name = "publish"

    def arguments(self, root: Path) -> list[str]:
        return ["publish", str(self.stage.artefact), "--repo", f"org/{root.name}"]

    def result(self, root: Path) -> Any:
        return published(self.stage.hub, f"org/{root.name}")


ALL = (OpenVINO, Forced, Onnx, Gguf, Validate, Run, Publish)


def figures(folder: Path) -> Any:
    """Return a report without what differs between two runs on the same input (its seal covers the seconds); None: there is none.

    The recipe's digest goes too: each trial has a recipe of its own, which names its repository.
    """
    path = folder / "parity.json"
    return _timeless(json.loads(path.read_text("utf-8"))) if path.is_file() else None


def _timeless(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _timeless(entry) for key, entry in value.items() if key not in ("seconds", "seal", "recipe")}
    return [_timeless(entry) for entry in value] if isinstance(value, list) else value


def published(hub: HubServer, name: str) -> Any:
    """Return the files of a repository, of which there may be one commit beside the first, empty one; None: none."""
    repo = hub.repos.get(name)
    if repo is None or len(repo.commits) == 1:
        return None
    assert len(repo.commits) == 2, f"{len(repo.commits) - 1} commits instead of one"
    files = repo.commits[repo.refs["main"]]
    # the card and the record (by its digest of the card) name the repository, the report its seconds
    naming = ("README.md", record.NAME)
    kept = {path: data for path, data in files.items() if path not in naming and not path.startswith("parity/")}
    assert {"README.md", "parity/parity.json", "parity/parity.md", "parity/parity.html"} <= set(files)
    return {path: hashlib.sha256(data).hexdigest() for path, data in kept.items()}
