"""What `--model` means: a folder or a GGUF on this machine, or a repository of the Hub at some revision."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from ..core.errors import CheckpointError, UsageError
from ..core.paths import join_hint

# The rules of Hub names, as huggingface_hub's `validate_repo_id` documents them. They are repeated here because a
# typing mistake should be answered before a library is imported.
_PART = r"[A-Za-z0-9_](?:[A-Za-z0-9._-]{0,94}[A-Za-z0-9_])?"
_REPO_ID = re.compile(rf"{_PART}(?:/{_PART})?")
# The subset of `git check-ref-format` that matters here: the name also becomes a file of the cache's `refs` folder.
_REVISION = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9._/+#=-]{0,253}[A-Za-z0-9_+#=-])?")
_COMMIT = re.compile(r"[0-9a-f]{40}")

DEFAULT_REVISION = "main"
GGUF = ".gguf"


@dataclass(frozen=True)
class Source:
    """A checkpoint to convert.

    Exactly one of `folder` and `repo_id` is set, as `kind` says; a "file" is a GGUF, and `folder` its path. `revision` (a
    branch, tag or commit) belongs to `repo_id` and is None where the user gave none. `given` is what the user wrote, for
    messages.
    """

    kind: Literal["folder", "file", "hub"]
    given: str
    folder: Path | None = None
    repo_id: str | None = None
    revision: str | None = None

    @property
    def label(self) -> str:
        """How messages name this source."""
        if self.repo_id is None:
            return str(self.folder)
        return f"{self.repo_id}@{self.revision}" if self.revision else self.repo_id


def is_repo_id(name: str) -> bool:
    """Whether `name` is a `name` or `namespace/name` that the Hub would admit."""
    return (
        len(name) <= 96
        and _REPO_ID.fullmatch(name) is not None
        and "--" not in name
        and ".." not in name
        and not name.endswith(".git")
    )


def is_revision(name: str) -> bool:
    """Whether `name` can be a branch, tag or commit, and is safe as a relative path."""
    return _REVISION.fullmatch(name) is not None and ".." not in name and "//" not in name and "/." not in name


def is_commit(name: str) -> bool:
    """Whether `name` is a whole commit id, which can never mean another commit tomorrow."""
    return _COMMIT.fullmatch(name) is not None


def parse(model: str, revision: str | None = None) -> Source:
    """Read `--model` and `--revision`.

    What exists on disk, or is written as a path (`./`, `../`, `/`, `~`), is a folder, or a file that ends in .gguf; the
    rest must be a Hub id `org/name` or `name`, with `@revision` behind it if wanted.

    Raises:
        UsageError: neither a path nor a Hub id, a malformed revision, two different ones, or one given for a folder.
        CheckpointError: a path that is absent, or neither a folder nor a GGUF.
    """
    if not model.strip():
        raise UsageError("--model is empty.", "Give a folder, or a Hub id such as org/name or org/name@revision.")
    if _is_written_as_path(model) or _exists(model):
        return _folder(model, revision)
    name, at, suffix = model.partition("@")
    if at and _exists(name):
        raise UsageError(f"{name} is a folder here, and a folder has no revision.", _folder_or_hub_hint(name))
    if not is_repo_id(name):
        raise UsageError(f"{model!r} is neither a folder nor a Hub id.", _not_an_id_hint(model))
    if at and not suffix:
        raise UsageError(f"{model!r} ends with '@' but names no revision.", f"Write {name}@main, for example.")
    if at and revision is not None and suffix != revision:
        raise UsageError(
            f"--model says revision {suffix!r}, but --revision says {revision!r}.", "Give the revision once."
        )
    chosen = suffix if at else revision
    if chosen is not None and not is_revision(chosen):
        raise UsageError(f"{chosen!r} cannot be a revision.", "A revision is a branch, a tag or a commit of the Hub.")
    return Source("hub", model, repo_id=name, revision=chosen)


def _is_written_as_path(model: str) -> bool:
    return model in (".", "..") or model.startswith(("./", "../", "/", "~"))


def _exists(model: str) -> bool:
    try:
        return Path(model).exists()
    except PermissionError:
        return True  # It is there; `_folder` says that it cannot be read.
    except OSError:
        return False  # For example a name longer than the file system admits.


def _folder(model: str, revision: str | None) -> Source:
    try:
        path = Path(model).expanduser()
        is_folder, exists = path.is_dir(), path.exists()
    except RuntimeError as error:  # `~name` of a person whom this machine does not know
        raise CheckpointError(f"{model}: there is no such home folder.", "Write the folder's full path.") from error
    except OSError as error:
        raise CheckpointError(
            f"{model} cannot be read: {error.strerror}.", "Check the folder's permissions."
        ) from error
    if not exists:
        raise CheckpointError(
            f"The folder {model} does not exist.",
            "Check the path; to fetch a model of the Hub, write its id without a leading dot or slash.",
        )
    if not is_folder and path.suffix != GGUF:
        raise CheckpointError(
            f"{model} is a file, not a checkpoint folder.",
            join_hint(path)
            or "Give the folder that holds config.json and the *.safetensors files, or a .gguf; unpack an archive first.",
        )
    kind: Literal["folder", "file"] = "folder" if is_folder else "file"
    if revision is not None:
        raise UsageError(f"{model} is a {kind}, and a {kind} has no revision.", _folder_or_hub_hint(model))
    return Source(kind, model, folder=path.resolve() if is_folder else path.absolute())


def _folder_or_hub_hint(name: str) -> str:
    if is_repo_id(name):
        return f"Leave the revision out, or run from another folder if you mean {name} of the Hub."
    return "Leave the revision out."


def _not_an_id_hint(model: str) -> str:
    parts = urlsplit(model)
    pieces = [
        piece for piece in (parts.path if parts.scheme != "hf" else parts.netloc + parts.path).split("/") if piece
    ]
    if parts.scheme in ("http", "https", "hf") and is_repo_id("/".join(pieces[:2])):
        revision = f"@{pieces[3]}" if len(pieces) > 3 and pieces[2] in ("tree", "blob", "resolve") else ""
        return f"Write the id alone: {'/'.join(pieces[:2])}{revision}"
    return "If you mean a folder, it does not exist. A Hub id looks like org/name or org/name@main."
