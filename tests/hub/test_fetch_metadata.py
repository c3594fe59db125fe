"""Plans without the weights."""

import io
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from edgeconv.convert.safetensors_file import Header
from edgeconv.core.errors import (
    CheckpointError,
    EdgeconvError,
    HubUnreachableError,
)
from edgeconv.hub.fetch import Fetched, Metadata

from .conftest import NEEDED, SHARD, content, safetensors, write
from .server import Files, HubServer, Repo


def test_metadata_without_the_weights(
    hub: HubServer, repo: Repo, files: Files, tmp_path: Path, fetch_metadata: Callable[..., Metadata]
) -> None:
    write(tmp_path / "local", files)
    local = fetch_metadata(str(tmp_path / "local"))
    remote = fetch_metadata()
    shards = {path for path in NEEDED if path.endswith(".safetensors")}
    assert set(remote.headers) == shards
    assert remote.headers == local.headers
    assert remote.headers[SHARD]["layer.2"]["shape"] == [2 * 256 * 64]
    assert set(content(remote.fetched.path)) == NEEDED - shards
    assert remote.fetched.commit == remote.listing.commit == repo.refs["main"]
    assert all(request.headers.get("range") for request in hub.asked("/storage/"))


def test_metadata_reads_few_bytes_of_large_files(
    hub: HubServer, files: Files, fetch_metadata: Callable[..., Metadata]
) -> None:
    big = safetensors({"w": bytes(3 << 20)} | {f"layer.{i}": b"x" for i in range(3000)})
    hub.add_repo("org/big", files | {"model.safetensors": big})
    assert len(fetch_metadata("org/big").headers["model.safetensors"]) == 3002
    ranges = [r.headers["range"] for r in hub.asked("/storage/.*/model.safetensors")]
    assert ranges == ["bytes=0-65535", f"bytes=65536-{7 + int.from_bytes(big[:8], 'little')}"]


def test_metadata_of_pickles(hub: HubServer, files: Files, fetch_metadata: Callable[..., Metadata]) -> None:
    """The table of a file of torch.save is read, not its values."""
    buffer = io.BytesIO()
    torch.save({f"layer.{i}": torch.ones(300, 1000 + i).half() for i in range(5)}, buffer)
    kept = {name: data for name, data in files.items() if not name.endswith((".safetensors", ".index.json"))}
    hub.add_repo("org/pickled", kept | {"pytorch_model.bin": buffer.getvalue()})
    header = fetch_metadata("org/pickled").headers["pytorch_model.bin"]
    assert header["layer.4"] == {"dtype": "F16", "shape": [300, 1004], "data_offsets": [2403600, 3006000]}
    (shard,) = (Header(name, len(buffer.getvalue()), header) for name in ["pytorch_model.bin"])
    assert shard.tensors["layer.1"].size == 300 * 1001
    ranges = [r.headers["range"] for r in hub.asked("/storage/.*/pytorch_model.bin")]
    assert sum(int(r.partition("-")[2]) - int(r[6:].partition("-")[0]) + 1 for r in ranges) < 400_000
    assert len(ranges) < 8


def test_metadata_of_a_pickle_that_is_none(
    hub: HubServer, files: Files, fetch_metadata: Callable[..., Metadata]
) -> None:
    kept = {name: data for name, data in files.items() if not name.endswith((".safetensors", ".index.json"))}
    hub.add_repo("org/pickled", kept)
    with pytest.raises(CheckpointError, match=r"not a whole file of torch\.save"):
        fetch_metadata("org/pickled")


def test_metadata_is_no_whole_fetch(
    hub: HubServer, repo: Repo, fetch: Callable[..., Fetched], fetch_metadata: Callable[..., Metadata]
) -> None:
    fetch_metadata()
    with pytest.raises(HubUnreachableError):
        fetch(local_files_only=True)
    whole = fetch()
    hub.stop()
    assert fetch_metadata(local_files_only=True).headers.keys() == {f.path for f in whole.files if "model-" in f.path}


@pytest.mark.parametrize("length", [1 << 63, 1 << 30, 20_000_000])
def test_metadata_of_a_lying_header(
    hub: HubServer, files: Files, fetch_metadata: Callable[..., Metadata], length: int
) -> None:
    lie = length.to_bytes(8, "little") + files[SHARD][8:]
    hub.add_repo("org/lie", files | {SHARD: lie})
    with pytest.raises(CheckpointError, match=rf"{SHARD} claims a header of {length} bytes"):
        fetch_metadata("org/lie")


def test_every_error_says_what_to_do(hub: HubServer, files: Files, fetch: Callable[..., Fetched]) -> None:
    hub.fail("GET", "/revision/", status=418)
    with pytest.raises(EdgeconvError, match="418") as caught:
        fetch()
    assert caught.value.hint
