import httpx
import pytest
from huggingface_hub import constants
from huggingface_hub.errors import HfHubHTTPError

from edgeconv.core.errors import AccessError, HubUnreachableError
from edgeconv.core.progress import Silent
from edgeconv.hub.client import Retry, read_range, resolve

from .conftest import Recorder
from .server import Files, HubServer

QUICK = Retry(attempts=3, first_delay=0.01, longest_delay=0.05)


def status_error(status: int, **headers: str) -> HfHubHTTPError:
    request = httpx.Request("GET", "http://hub/x")
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return HfHubHTTPError("", response=httpx.Response(status, headers=named, request=request))


class Flaky:
    def __init__(self, *errors: Exception) -> None:
        self.errors = list(errors)
        self.calls = 0

    def __call__(self) -> str:
        self.calls += 1
        if self.errors:
            raise self.errors.pop(0)
        return "done"


@pytest.fixture
def slept(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    delays: list[float] = []
    monkeypatch.setattr("edgeconv.hub.client.time.sleep", delays.append)
    return delays


def test_retry_doubles_its_delay_up_to_a_limit(slept: list[float]) -> None:
    call = Flaky(*[status_error(503)] * 5)
    assert Retry(6, 1.0, 5.0).run(call, Silent()) == "done"
    assert slept == [1.0, 2.0, 4.0, 5.0, 5.0]


def test_retry_gives_up(slept: list[float]) -> None:
    call = Flaky(*[httpx.ReadError("x")] * 9)
    with pytest.raises(httpx.ReadError):
        Retry(4, 1.0).run(call, Silent())
    assert call.calls == 4


def test_retry_waits_as_long_as_asked(slept: list[float]) -> None:
    call = Flaky(status_error(429, Retry_After="7"), status_error(503, Retry_After="9999"), status_error(503))
    Retry(9, 1.0, 20.0).run(call, Silent())
    assert slept == [7.0, 20.0, 4.0]


@pytest.mark.parametrize("error", [status_error(404), status_error(401), ValueError(), httpx.UnsupportedProtocol("")])
def test_retry_is_for_passing_errors(slept: list[float], error: Exception) -> None:
    call = Flaky(error)
    with pytest.raises(type(error)):
        Retry().run(call, Silent())
    assert call.calls == 1


def test_all_pages_are_read(hub: HubServer, files: Files) -> None:
    hub.add_repo("org/name", files)
    hub.page_size = 3
    listing = resolve("org/name", None, QUICK, Silent())
    assert {file.path: file.size for file in listing.files} == {path: len(data) for path, data in files.items()}
    assert len(hub.asked("/tree/")) == 6


def test_a_list_without_end(hub: HubServer, files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.add_repo("org/name", files)
    monkeypatch.setattr("edgeconv.hub.client._MAX_PAGES", 3)
    hub.page_size = 1
    with pytest.raises(HubUnreachableError, match="does not end"):
        resolve("org/name", None, QUICK, Silent())


def test_links_of_another_host_are_followed_at_ours(
    hub: HubServer, files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.add_repo("org/name", files)
    hub.page_size = 9
    monkeypatch.setattr(HubServer, "url", "https://huggingface.invalid")
    assert len(resolve("org/name", None, QUICK, Silent()).files) == len(files)


def test_a_revision_with_slashes(hub: HubServer, files: Files) -> None:
    repo = hub.add_repo("org/name", files)
    commit = repo.push(files | {"config.json": b"{}"}, "refs/pr/1")
    assert resolve("org/name", "refs/pr/1", QUICK, Silent()).commit == commit
    assert resolve("org/name", None, QUICK, Silent()).commit != commit


@pytest.mark.parametrize("answer", [b"<html>", b"[]", b"{}", b'{"id": "../x", "sha": "' + b"0" * 40 + b'"}',
                                    b'{"id": "org/name", "sha": "../../x"}', b"[" * 100_000])  # fmt: skip
def test_an_answer_that_is_none(hub: HubServer, files: Files, answer: bytes) -> None:
    hub.add_repo("org/name", files)
    hub.replace("/revision/", lambda _: answer)
    with pytest.raises(HubUnreachableError):
        resolve("org/name", None, QUICK, Silent())


def test_another_commit_than_the_pinned_one(hub: HubServer, files: Files) -> None:
    repo = hub.add_repo("org/name", files)
    pinned = repo.refs["main"]
    repo.refs[pinned] = repo.push(files | {"config.json": b"{}"})
    with pytest.raises(HubUnreachableError, match=pinned):
        resolve("org/name", pinned, QUICK, Silent())


def test_time_is_limited(hub: HubServer, files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.add_repo("org/name", files)
    monkeypatch.setattr(constants, "HF_HUB_ETAG_TIMEOUT", 0.1)
    hub.delay("/tree/", seconds=0.5)
    with pytest.raises(HubUnreachableError, match="in time"):
        resolve("org/name", None, QUICK, Silent())
    assert len(hub.asked("/tree/")) == QUICK.attempts


def test_an_address_that_is_none(hub: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "ENDPOINT", "hub.example")
    with pytest.raises(HubUnreachableError) as caught:
        resolve("org/name", None, QUICK, Silent())
    assert "HF_ENDPOINT" in (caught.value.hint or "")


def test_credentials_in_the_address_are_not_shown(hub: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "ENDPOINT", hub.url.replace("://", "://me:hunter2@"))
    hub.fail("GET", "/revision/", status=500)
    with pytest.raises(HubUnreachableError) as caught:
        resolve("org/name", None, QUICK, Silent())
    assert "hunter2" not in caught.value.message + str(caught.value.hint)
    assert "127.0.0.1" in caught.value.message


def test_no_hub_at_all_answers_404(hub: HubServer) -> None:
    hub.fail("GET", "/revision/", status=404)
    with pytest.raises(AccessError, match="does not know"):
        resolve("org/name", None, QUICK, Silent())


@pytest.mark.parametrize("name", ["config.json", "model-00002-of-00002.safetensors"])
def test_ranges(hub: HubServer, files: Files, name: str, progress: Recorder) -> None:
    hub.add_repo("org/name", files)
    listing = resolve("org/name", None, QUICK, progress)
    assert read_range(listing, name, 3, 10, retry=QUICK, progress=progress) == files[name][3:13]
    hub.fail("GET", name, status=503, times=2)
    assert read_range(listing, name, 0, 8, retry=QUICK, progress=progress) == files[name][:8]
    assert "503" in progress.text


def test_a_server_that_ignores_ranges(hub: HubServer, files: Files) -> None:
    vocabulary = bytes(range(251)) * 20_000  # more than comes in one piece
    hub.add_repo("org/name", files | {"vocab.json": vocabulary})
    hub.ignores_ranges = True
    listing = resolve("org/name", None, QUICK, Silent())
    assert read_range(listing, "config.json", 5, 6, retry=QUICK, progress=Silent()) == files["config.json"][5:11]
    data = read_range(listing, "vocab.json", 4_000_000, 100_000, retry=QUICK, progress=Silent())
    assert data == vocabulary[4_000_000:4_100_000]


def test_fewer_bytes_than_asked_for(hub: HubServer, files: Files) -> None:
    hub.add_repo("org/name", files)
    listing = resolve("org/name", None, QUICK, Silent())
    hub.replace("config.json", lambda data: data[:4])
    with pytest.raises(HubUnreachableError, match="4 of 10"):
        read_range(listing, "config.json", 0, 10, retry=QUICK, progress=Silent())
