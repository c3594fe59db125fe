"""What is published is what was hashed: whatever happens to the files meanwhile, a commit holds what its manifest says."""

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edgeconv.core.errors import EdgeconvError
from edgeconv.hub import sealed
from edgeconv.publish.publish import Publication, publish
from edgeconv.validate.report import seal

from ..core import artifacts
from ..hub.conftest import QUICK, Recorder
from ..hub.server import HubServer
from .conftest import Make, held

NAMES = [*artifacts.FILES, "edgeconv.json", "parity/parity.json", "parity/parity.html"]
_repository = count()


def flip(path: Path) -> None:
    """Write in place, and keep the size."""
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def rename(path: Path) -> None:
    (path.parent / "new").write_bytes(b"another file")
    (path.parent / "new").replace(path)


def link(path: Path) -> None:
    (path.parent / "secret").write_bytes(b"of the user's")
    path.unlink()
    path.symlink_to("secret")


CHANGES: list[Callable[[Path], Any]] = [flip, rename, link, lambda path: path.write_bytes(b""), Path.unlink]


class Moments:
    """Counts the blocks that are read and the requests that are answered, and does something once, before one of them."""

    def __init__(self, kind: str, number: int, action: Callable[[], Any]) -> None:
        self.seen = {"read": 0, "request": 0}
        self._at, self._action = (kind, number), action

    def tick(self, kind: str) -> None:
        if (kind, self.seen[kind]) == self._at:
            self._action()
        self.seen[kind] += 1


@contextmanager
def watched(moments: Moments, hub: HubServer) -> Iterator[None]:
    pread, answer = os.pread, hub.answer
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sealed, "BLOCK", 1024)  # so that the weights of the tests have several
        patch.setattr(os, "pread", lambda *arguments: (moments.tick("read"), pread(*arguments))[1])
        patch.setattr(hub, "answer", lambda request: (moments.tick("request"), answer(request))[1])
        yield


@pytest.fixture
def published(writable: HubServer, artifact: Make, progress: Recorder) -> Moments:
    """An undisturbed publication: how many moments there are."""
    moments = Moments("none", 0, lambda: None)
    with watched(moments, writable):
        publish(Publication(artifact(), "org/undisturbed"), progress, QUICK)
    assert min(moments.seen.values()) > 8
    return moments


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    name=st.sampled_from(NAMES),
    change=st.sampled_from(CHANGES),
    kind=st.sampled_from(["read", "request"]),
    data=st.data(),
)
@pytest.mark.fault(
    "publish: a file is changed, swapped or cut at any moment",
    says="Either what was hashed is sent, or there is no commit.",
)
def test_no_commit_holds_other_bytes_than_its_manifest_says(
    name: str,
    change: Callable[[Path], Any],
    kind: str,
    data: st.DataObject,
    published: Moments,
    writable: HubServer,
    artifact: Make,
    progress: Recorder,
    tmp_path: Path,
) -> None:
    folder, repo = tmp_path / "work", f"org/swapped-{next(_repository)}"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(tmp_path / "artifact", folder)
    moments = Moments(kind, data.draw(st.integers(0, published.seen[kind] - 1)), lambda: change(folder / name))
    with watched(moments, writable):
        try:
            publish(Publication(folder, repo), progress, QUICK)
        except EdgeconvError:
            assert repo not in writable.repos or held(writable, repo) == {}
            return
    files = held(writable, repo)
    manifest = json.loads(files["edgeconv.json"])
    assert set(manifest["outputs"]) == set(artifacts.FILES)
    for path, stated in manifest["outputs"].items():
        assert hashlib.sha256(files[path]).hexdigest() == stated["sha256"]
    assert seal.state(files["parity/parity.json"]) == "sealed"
    assert b"of the user's" not in b"".join(files.values())


def test_a_large_file_that_changes_while_it_is_sent_ends_in_an_error(
    writable: HubServer, artifact: Make, progress: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The very attack: the weights are swapped when the gate has hashed them, as the Hub is asked."""
    monkeypatch.setattr(sealed, "BLOCK", 64)
    folder = artifact()
    writable.on_request("/objects/batch", lambda: flip(folder / "openvino_model.bin"))
    writable.faults[-1].method = "POST"
    with pytest.raises(EdgeconvError, match=r"openvino_model\.bin changed while it was being published") as caught:
        publish(Publication(folder, "org/attack"), progress, QUICK)
    assert caught.value.exit_code == 1
    assert held(writable, "org/attack") == {}
    assert writable.commits == []
