"""What a model is called by where it lies, and which file is meant by a name that stands in a file."""

import os
from pathlib import Path

import pytest

from edgeconv.core.errors import CheckpointError, UsageError
from edgeconv.core.paths import model_name, own_file, own_links

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.mark.parametrize(
    ("path", "name"),
    [
        (f"hub/models--org--Qwen3-0.6B/snapshots/{COMMIT}", "Qwen3-0.6B"),
        (f"hub/models--gpt2/snapshots/{COMMIT}", "gpt2"),
        (f"hub/models--org--a--b/snapshots/{COMMIT}", "b"),
        ("hub/models--org--model/snapshots/v2", "v2"),
        (f"snapshots/{COMMIT}", COMMIT),
        ("my-model", "my-model"),
    ],
)
def test_a_folder_is_called_by_its_model(tmp_path: Path, path: str, name: str) -> None:
    assert model_name(tmp_path / path) == name
    (tmp_path / "link").symlink_to(tmp_path / path)
    assert model_name(tmp_path / "link") == name


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A folder with a file, a secret beside it, and links."""
    folder = tmp_path / "home"
    (folder / "sub").mkdir(parents=True)
    (folder / "words.txt").write_text("words")
    (folder / "sub" / "words.txt").write_text("words")
    (tmp_path / "secret.txt").write_text("token")
    (folder / "out.txt").symlink_to(tmp_path / "secret.txt")
    (folder / "environ.txt").symlink_to("/proc/self/environ")
    (folder / "up").symlink_to("..")
    (folder / "loop").symlink_to("loop")
    (folder / "dangling").symlink_to("nothing")
    (folder / "within.txt").symlink_to("sub/words.txt")
    (folder / "null").symlink_to("/dev/null")
    os.mkfifo(folder / "pipe")
    return folder


@pytest.mark.parametrize("name", ["words.txt", "sub/words.txt", "./words.txt", "within.txt"])
def test_a_file_of_the_folder(home: Path, name: str) -> None:
    assert own_file(home, name, UsageError, whose="x").read_text() == "words"


OUTSIDE = [
    "../secret.txt", "sub/../../secret.txt", "sub/../words.txt", "/etc/passwd", "/proc/self/environ", "out.txt", "environ.txt",
    "up/secret.txt", "up/home/../secret.txt", "loop", "dangling", "pipe", "null", "sub", ".", "", "a\\b", "words.txt\0", "a\nb",
    "absent.txt", None, 7, ["words.txt"],
]  # fmt: skip


@pytest.mark.parametrize("name", OUTSIDE)
def test_no_file_of_the_folder(home: Path, name: object) -> None:
    with pytest.raises(UsageError, match="The recipe names"):
        own_file(home, name, UsageError, whose="The recipe")


def test_weights_may_be_links_but_not_through_folders_or_to_no_files(home: Path) -> None:
    assert own_file(home, "out.txt", UsageError, whose="x", linked=True).read_text() == "token"
    for name in ("up/secret.txt", "pipe", "null", "loop", "../secret.txt"):
        with pytest.raises(UsageError):
            own_file(home, name, UsageError, whose="x", linked=True)


def test_an_absolute_name_only_into_the_folder_and_only_where_asked(home: Path) -> None:
    assert own_file(home, str(home / "words.txt"), UsageError, whose="x", absolute=True).is_file()
    for name in ("/proc/self/environ", str(home / "out.txt"), str(home.parent / "secret.txt")):
        with pytest.raises(UsageError):
            own_file(home, name, UsageError, whose="x", absolute=True)
    with pytest.raises(UsageError):
        own_file(home, str(home / "words.txt"), UsageError, whose="x")


def test_the_hubs_cache_counts_as_the_folder(tmp_path: Path) -> None:
    place = tmp_path / "models--org--name"
    snapshot = place / "snapshots" / COMMIT
    snapshot.mkdir(parents=True)
    (place / "blobs").mkdir()
    (place / "blobs" / "abc").write_text("words")
    (snapshot / "words.txt").symlink_to("../../blobs/abc")
    assert own_file(snapshot, "words.txt", UsageError, whose="x").read_text() == "words"
    own_links(snapshot, CheckpointError, what="it")


def test_links_out_of_a_folder(home: Path) -> None:
    with pytest.raises(CheckpointError, match="is not a file of the checkpoint"):
        own_links(home, CheckpointError, what="the checkpoint")
