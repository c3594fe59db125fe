"""What a repository holds at one commit, and which of its files a conversion needs."""

import re
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from ..core import adapter_folder, limits
from ..core.errors import CheckpointError, HubUnreachableError

_GIT_SHA1 = re.compile(r"[0-9a-f]{40}")
_SHA256 = re.compile(r"[0-9a-f]{64}")

METADATA_PATTERNS = (
    "config*.json",
    "generation_config.json",
    "tokenizer*.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "vocab.txt",
    "merges.txt",
    "*.model",  # sentencepiece; the ChatGLM family keeps its byte-pair ranks under this name too
    "*.tiktoken",
    "chat_template.*",
    "additional_chat_templates/*.jinja",
    "*preprocessor_config.json",
    "processor_config.json",
    "*.safetensors.index.json",
    "modules.json",  # of sentence-transformers, and its modules' folders
    "sentence_bert_config.json",
    "[1-4]_*/config.json",
    "[1-4]_Dense/model.safetensors",
    "LICEN[CS]E*",
    "MODEL_LICENSE*",  # ChatGLM's
    "NOTICE*",
    "README.md",  # its front matter goes into the card of the converted model
)
_PICKLE_PATTERNS = ("pytorch_model*.bin", "pytorch_model.bin.index.json")
# Second copies of the same weights: Mistral's own format, and precision variants ("model.fp16-00001-of-00002").
_WHOLE_WEIGHTS = re.compile(r"model(-\d+-of-\d+)?\.safetensors")
_SECOND_COPY = re.compile(r"consolidated.*\.safetensors|model\.[A-Za-z0-9_]+(-\d+-of-\d+)?\.safetensors")


@dataclass(frozen=True)
class RemoteFile:
    """One file: its path in the repository, its size in bytes, and what its content must hash to.

    `sha256` is set for files in large-file storage; `oid` is the git blob id (for a large file: of its pointer, and
    thus of no use against the content). Both are None for a file of a local folder.
    """

    path: str
    size: int
    oid: str | None = None
    sha256: str | None = None

    @property
    def digest(self) -> str | None:
        """What the content hashes to: sha256 (64 digits), else git's blob sha1 (40 digits), else None."""
        return self.sha256 or self.oid


@dataclass(frozen=True)
class Listing:
    """All files of a source at one commit (`repo_id` and `commit` are None for a folder)."""

    repo_id: str | None
    commit: str | None
    files: tuple[RemoteFile, ...]

    def needed(self, *, allow_remote_code: bool = False) -> tuple[RemoteFile, ...]:
        """The files that a conversion reads, in the order of the listing.

        Raises:
            CheckpointError: there is no config.json, or there are no weights that we read, or an adapter lies there.
        """
        names = [file.path for file in self.files]
        wanted = set(_weights(names)) | {name for name in names if is_metadata(name)}
        if allow_remote_code:
            wanted |= {name for name in names if fnmatchcase(name, "*.py")}
        label = self.repo_id or "The folder"
        adapter_folder.refuse(label, names)
        files = [name for name in names if name.endswith(".gguf")]
        if "config.json" not in wanted and files:
            raise CheckpointError(
                f"{label} has no config.json; it holds GGUF files.",
                f"A GGUF is given by its own path: --model {'FOLDER/' if self.repo_id is None else './'}{files[0]}"
                + ("." if self.repo_id is None else ", once it is downloaded."),
            )
        if "config.json" not in wanted:
            raise CheckpointError(f"{label} has no config.json.", "Choose a checkpoint in the transformers format.")
        if not any(map(is_weight, wanted)):
            others = [name for name in names if name.endswith((".gguf", ".onnx", ".bin", ".pt", ".pth", ".xml"))][:3]
            found = f" (it holds {', '.join(others)})" if others else ""
            made = _converted(names)
            if made:
                raise CheckpointError(
                    f"{label} is already converted: it holds {made}{found}.",
                    "--model takes the checkpoint that it was made from, or a GGUF. `edgeconv inspect` shows what this one is.",
                )
            raise CheckpointError(
                f"{label} has neither *.safetensors nor pytorch_model*.bin weights{found}.",
                "Choose the original checkpoint, in the transformers format.",
            )
        return _bounded(label, [file for file in self.files if file.path in wanted])


def _converted(names: Sequence[str]) -> str:
    """Say what converted model files are of; empty if they are of none."""
    if any(name.endswith(".onnx") for name in names):
        return "an ONNX model"
    if any(name.endswith(".xml") and f"{name[:-4]}.bin" in names for name in names):
        return "an OpenVINO IR"
    return ""


@dataclass(frozen=True)
class CommitListing(Listing):
    """All files of a repository of the Hub at one commit."""

    repo_id: str
    commit: str


def _bounded(label: str, files: Sequence[RemoteFile]) -> tuple[RemoteFile, ...]:
    """Leave out texts that nobody wrote so long, and refuse small files that are not small: a plan fetches them already."""
    kept = tuple(file for file in files if not (_is_words(file.path) and file.size > limits.WORDS))
    small = [file for file in kept if not is_weight(file.path)]
    for file in small:
        if file.size > (largest := limits.TEMPLATE if file.path.endswith(".jinja") else limits.JSON):
            raise CheckpointError(
                f"{file.path} of {label} has {file.size:,} bytes; no such file needs more than {largest:,}.",
                "It is damaged or hostile, or another's.",
            )
    total = sum(file.size for file in small)
    if total > limits.SMALL_FILES:
        raise CheckpointError(
            f"The files of {label} beside its weights have {total:,} bytes, more than the {limits.SMALL_FILES:,} of any model.",
            "Choose another revision.",
        )
    return kept


def _is_words(name: str) -> bool:
    return _matches(name, ("LICEN[CS]E*", "MODEL_LICENSE*", "NOTICE*", "README.md"))


def is_metadata(name: str) -> bool:
    """Whether the file is one of the small ones that describe the model."""
    return _matches(name, METADATA_PATTERNS)


def is_weight(name: str) -> bool:
    """Whether the file holds tensors; LICENSE.bin does not."""
    return name.endswith((".safetensors", ".bin")) and not is_metadata(name)


def is_read_by_loaders(name: str, *, allow_remote_code: bool) -> bool:
    """Whether a loader that meets this file in a checkpoint's folder may act on it."""
    code = allow_remote_code and fnmatchcase(name, "*.py")
    loose = _matches(name, ("*.safetensors", *_PICKLE_PATTERNS, "adapter_config.json"))
    return code or loose or is_metadata(name)


def _matches(name: str, patterns: Sequence[str]) -> bool:
    # fnmatch's star crosses slashes: a name in a folder must match a pattern with a folder.
    return any(name.count("/") == pattern.count("/") and fnmatchcase(name, pattern) for pattern in patterns)


def _weights(names: Iterable[str]) -> list[str]:
    root = [name for name in names if "/" not in name]
    safetensors = [name for name in root if name.endswith(".safetensors")]
    if not safetensors:
        return [name for name in root if _matches(name, _PICKLE_PATTERNS)]
    if any(map(_WHOLE_WEIGHTS.fullmatch, safetensors)):
        return [name for name in safetensors if not _SECOND_COPY.fullmatch(name)]
    return safetensors


def from_tree(repo_id: str, commit: str, entries: Any) -> CommitListing:
    """Build a listing from the entries that the Hub's `tree` call answers.

    An entry is `{"type": "file", "path": ..., "size": ..., "oid": ..., "lfs": {"oid": ..., "size": ...}}`.

    Raises:
        CheckpointError: a name that would leave the snapshot's folder, or two files of one name.
        HubUnreachableError: entries that are not of this form.
    """
    files = []
    try:
        for entry in entries:
            if entry["type"] == "file":
                files.append(_file(repo_id, entry))
    except (KeyError, TypeError, AttributeError) as error:
        raise HubUnreachableError(f"The file list of {repo_id} is not in the form that the Hub documents.") from error
    paths = [file.path for file in files]
    if len(set(paths)) != len(paths):
        raise CheckpointError(f"The file list of {repo_id} names a file twice.", "Do not trust this repository.")
    return CommitListing(repo_id, commit, tuple(files))


def to_tree(listing: Listing) -> list[dict[str, Any]]:
    """The inverse of `from_tree`, for what is kept on disk."""
    return [
        {"type": "file", "path": file.path, "size": file.size, "oid": file.oid}
        | ({"lfs": {"oid": file.sha256, "size": file.size}} if file.sha256 else {})
        for file in listing.files
    ]


def _file(repo_id: str, entry: Any) -> RemoteFile:
    path, lfs = entry["path"], entry.get("lfs")
    if not isinstance(path, str) or not is_safe_name(path):
        raise CheckpointError(
            f"{repo_id} lists a file named {path!r}, which would be written outside of its folder.",
            "Nothing was downloaded. Do not trust this repository.",
        )
    size, oid, sha256 = entry["size"], entry["oid"], lfs["oid"] if lfs else None
    checks: list[tuple[Any, Callable[[Any], bool]]] = [
        (lfs["size"] if lfs else size, lambda value: type(value) is int and value >= 0),
        (oid, lambda value: isinstance(value, str) and _GIT_SHA1.fullmatch(value) is not None),
        (sha256, lambda value: value is None or (isinstance(value, str) and _SHA256.fullmatch(value) is not None)),
    ]
    if not all(check(value) for value, check in checks):
        raise TypeError(f"malformed entry for {path}")
    return RemoteFile(path, lfs["size"] if lfs else size, oid, sha256)


def is_safe_name(name: str) -> bool:
    """Whether a repository's file name stays inside of the folder that it is joined to, on every system."""
    pieces = name.split("/")
    return (
        all(piece not in ("", ".", "..") for piece in pieces)
        and pieces[0] != ".git"
        and "\\" not in name
        and not re.match(r"[A-Za-z]:", name)
        and not any(unicodedata.category(char) in ("Cc", "Cs") for char in name)  # controls, lone surrogates
        and len(name.encode()) < 1024
    )
