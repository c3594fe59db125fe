"""A Hub of the tests' own, and an HF_HOME for each test."""

import importlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import huggingface_hub
import pytest
from huggingface_hub import constants

from edgeconv.core.progress import Task
from edgeconv.hub import fetch as fetching
from edgeconv.hub.client import Retry
from edgeconv.hub.fetch import Fetched, Metadata
from edgeconv.hub.source import parse

from . import server_write  # noqa: F401 - registers its calls
from .server import Files, HubServer, Repo

QUICK = Retry(attempts=3, first_delay=0.01, longest_delay=0.05)
SHARD = "model-00002-of-00002.safetensors"
TOKEN = "hf_SecretSecretSecretSecret"

# Of the person who runs the tests; none of it may reach one.
_FOREIGN = [
    *("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_TOKEN", "HF_TOKEN_PATH", "HUGGING_FACE_HUB_TOKEN", "HF_DEBUG"),
    *("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HF_HUB_DISABLE_IMPLICIT_TOKEN", "HF_HUB_DISABLE_SYMLINKS"),
    *("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy", "HUGGINGFACE_CO_STAGING"),
]


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    """A running Hub that huggingface_hub talks to, with an empty HF_HOME."""
    with HubServer() as server:
        for name in _FOREIGN:
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
        monkeypatch.setenv("HF_HUB_DISABLE_XET", "1")
        # The library sleeps for seconds between its own attempts.
        monkeypatch.setattr("huggingface_hub.file_download.time", SimpleNamespace(sleep=lambda _: None))
        reload_constants()
        yield server
    monkeypatch.undo()
    reload_constants()


def reload_constants() -> None:
    """Have huggingface_hub read the environment again: it does so once, when it is imported.

    Everything that a download touches looks its settings up in this module at the time of the call.
    """
    importlib.reload(constants)
    huggingface_hub.close_session()


@pytest.fixture
def files() -> Files:
    """A checkpoint of two shards as it lies on the Hub, with things beside it that nobody needs."""
    shards = {
        f"model-{i:05d}-of-00002.safetensors": safetensors({f"layer.{i}": bytes(range(256)) * 64 * i}) for i in (1, 2)
    }
    index = {"metadata": {}, "weight_map": dict(zip(("layer.1", "layer.2"), shards, strict=True))}
    return shards | {
        "model.safetensors.index.json": json.dumps(index).encode(),
        "config.json": b'{"model_type": "glm"}',
        "generation_config.json": b"{}",
        "tokenizer.json": b'{"model": {}}',
        "tokenizer_config.json": b"{}",
        "chat_template.jinja": b"{{ messages }}",
        "additional_chat_templates/tools.jinja": b"{{ tools }}",
        "README.md": b"---\nlicense: mit\n---\n",
        "LICENSE": b"MIT",
        ".gitattributes": b"*.safetensors filter=lfs",
        "pytorch_model.bin": b"pickle",
        "consolidated.safetensors": b"the same weights again",
        "modeling_glm.py": b"raise SystemExit",
        "onnx/config.json": b"{}",
        "figures/plot.png": b"png",
        "training_args.bin": b"pickle",
    }


NEEDED = {
    "model-00001-of-00002.safetensors",
    "model-00002-of-00002.safetensors",
    "model.safetensors.index.json",
    "config.json",
    "generation_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "chat_template.jinja",
    "additional_chat_templates/tools.jinja",
    "README.md",
    "LICENSE",
}


def safetensors(tensors: dict[str, bytes]) -> bytes:
    """A file of U8 tensors."""
    header: dict[str, object] = {"__metadata__": {"format": "pt"}}
    end = 0
    for name, content in tensors.items():
        header[name] = {"dtype": "U8", "shape": [len(content)], "data_offsets": [end, end + len(content)]}
        end += len(content)
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + b"".join(tensors.values())


class Recorder:
    """A Progress that remembers what it was told."""

    def __init__(self) -> None:
        self.tasks: list[RecordedTask] = []
        self.notes: list[str] = []
        self.details: list[str] = []

    def task(self, description: str, total: int | None = None) -> Task:
        self.tasks.append(RecordedTask(description, total))
        return self.tasks[-1]

    def note(self, message: str) -> None:
        self.notes.append(message)

    def detail(self, message: str) -> None:
        self.details.append(message)

    @property
    def text(self) -> str:
        return "\n".join([*self.notes, *self.details])


class RecordedTask:
    def __init__(self, description: str, total: int | None) -> None:
        self.description = description
        self.total = total
        self.steps: list[int] = []
        self.finished = False

    def advance(self, amount: int) -> None:
        self.steps.append(amount)

    def finish(self) -> None:
        self.finished = True


@pytest.fixture
def progress() -> Recorder:
    return Recorder()


@pytest.fixture
def repo(hub: HubServer, files: Files) -> Repo:
    """`files` on the Hub as org/name."""
    return hub.add_repo("org/name", files)


@pytest.fixture
def fetch(progress: Recorder) -> Callable[..., Fetched]:
    def run(model: str = "org/name", **options: Any) -> Fetched:
        return fetching.fetch(parse(model), progress=progress, retry=QUICK, **options)

    return run


@pytest.fixture
def fetch_metadata(progress: Recorder) -> Callable[..., Metadata]:
    def run(model: str = "org/name", **options: Any) -> Metadata:
        return fetching.fetch_metadata(parse(model), progress=progress, retry=QUICK, **options)

    return run


def content(folder: Path) -> Files:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def needed(files: Files) -> Files:
    return {path: files[path] for path in NEEDED}


def write(folder: Path, files: Files) -> None:
    for path, data in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(data)


def damage(path: Path) -> None:
    """Flip one bit and keep the size."""
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def blobs(tmp_path: Path) -> Path:
    """Where org/name's contents lie."""
    return tmp_path / "hf/hub/models--org--name/blobs"
