"""The commands that are killed: what they are given, and what there must be before, between and after."""

from __future__ import annotations

import hashlib
import json
import shutil
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

import yaml

from edgeconv.builtin import model_path
from edgeconv.core.manifest import LOG_NAME, MANIFEST_NAME, Manifest, sidecar
from edgeconv.publish import record

from ..hub.server import HubServer
from ..words import WORDS

SMALL = ("--budget", "top1=0")
"""One choice of a hundred that differs says too little to judge."""
TEXT = "A tide table says when the sea is high. Boats wait for it, and so do people who look for mussels on the rocks below."
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
    """What all commands share: the built-in checkpoint, texts, and an artifact with its report."""

    def __init__(self, root: Path, hub: HubServer) -> None:
        self.root, self.hub = root, hub
        self.source, self.artifact, self.words = root / "source", root / "artifact", root / "words.jsonl"
        shutil.copytree(model_path(), self.source)
        self.words.write_text(WORDS)
        self.texts = root / "texts.txt"  # a search asks for more tokens than those few words have
        self.texts.write_text("\n\n".join(f"{number}. {TEXT}" for number in range(12)))
        self.measured = ("--suite", str(self.texts), "--tokens", "256")

    def inputs(self) -> dict[str, str]:
        """Digests of whatever no command may touch."""
        texts = {path.name: path.read_text() for path in (self.words, self.texts)}
        return {**digests(self.source), **digests(self.artifact), **texts}


class Command(ABC):
    """One command line in a folder of its own, `root`; `name` is how figures call it."""

    name: str
    lasting = True
    """What a run made stays there until another one has made something; False: it only says it."""

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
    """Check an artifact against its manifest, and return the digests of its files."""
    outputs = Manifest.model_validate_json(manifest.read_bytes()).outputs
    found = {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in outputs}
    assert found == {name: file.sha256 for name, file in outputs.items()}, "an artifact that is not whole"
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
    """Over an older artifact, which must be there, whole, until the new one is."""

    name = "openvino --force"

    def prepare(self, root: Path) -> None:
        shutil.copytree(self.stage.artifact, root / "out")
        (root / "out" / ".git").mkdir()
        (root / "out" / ".git" / "HEAD").write_text("mine")

    def arguments(self, root: Path) -> list[str]:
        return ["openvino", "-m", str(self.stage.source), "-p", "int8", "--group-size", "-1", "-o", "out", "--force"]

    def result(self, root: Path) -> Any:
        assert (root / "out").is_dir(), "neither the old artifact nor the new one"
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
            str(self.stage.artifact),
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
        return ["publish", str(self.stage.artifact), "--repo", f"org/{root.name}"]

    def result(self, root: Path) -> Any:
        return published(self.stage.hub, f"org/{root.name}")


class Frontier(Command):
    """Two points, each kept as it is made, and three files."""

    name = "frontier"

    def arguments(self, root: Path) -> list[str]:
        points = ["--points", "int8", "--points", "q8_0"]
        return ["frontier", str(self.stage.source), *points, *self.stage.measured, "--output", "found"]

    def result(self, root: Path) -> Any:
        found = root / "found"
        files = {
            name: found / f"frontier.{name}"
            for name in ("json", "svg", "html")
            if (found / f"frontier.{name}").exists()
        }
        if "json" in files:
            assert len(json.loads(files["json"].read_text("utf-8"))["points"]) == 2, "a point that works was left out"
        # they are written one after the other, each whole or not at all
        return tuple(digests(found).get(f"frontier.{name}") for name in ("json", "svg", "html")) if files else None


class Search(_Conversion):
    """Estimates, makes two artifacts and keeps a recipe."""

    name = "search"

    def arguments(self, root: Path) -> list[str]:
        asked = ["--max-kl", "5", "--trials", "2", "--output", "found.yaml"]
        return ["search", str(self.stage.source), *asked, *self.stage.measured]

    def result(self, root: Path) -> Any:
        place = root / "found.yaml"
        if not place.exists():
            return None
        recipe = yaml.safe_load(place.read_text("utf-8"))
        assert list(recipe) == ["recipe", "name", "description", "source", "targets"], "a recipe that is not whole"
        return recipe


class Chat(Command):
    """Writes nothing but its answer: a line of JSON."""

    name = "chat"
    lasting = False

    def arguments(self, root: Path) -> list[str]:
        return ["chat", str(self.stage.artifact), "--prompt", "Who are you?", "--max-new-tokens", "8", "--json"]

    def result(self, root: Path) -> Any:
        log = root.with_suffix(".log")
        lines = log.read_text("utf-8").splitlines() if log.exists() else []
        said = [json.loads(line) for line in lines if line.startswith("{") and line.endswith("}")]
        answers = [one for one in said if "error" not in one]  # a refusal, "interrupted" for one, is a line of JSON too
        assert len(answers) <= 1
        if not answers or answers[0]["finish"] == "interrupted":  # Ctrl-C ends an answer; what there is of it is shown
            return None
        return {key: value for key, value in answers[0].items() if "second" not in key}


ALL = (OpenVINO, Forced, Onnx, Gguf, Validate, Run, Publish, Frontier, Search, Chat)


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
