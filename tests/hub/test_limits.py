"""Answers of a Hub that would take all memory, or for ever."""

import contextlib
import gzip
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from huggingface_hub import constants

from edgeconv.core import limits
from edgeconv.core.errors import CheckpointError, HubUnreachableError
from edgeconv.core.progress import Silent
from edgeconv.hub import client
from edgeconv.hub.client import Retry, resolve
from edgeconv.hub.listing import Listing, RemoteFile, is_weight

from .conftest import Recorder

Serve = Callable[[Callable[[Any], None]], None]
ONCE = Retry(attempts=1)


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Iterator[Serve]:
    """Starts a server that gives each request to a function."""
    servers = []

    def start(answer: Callable[[Any], None]) -> None:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                with contextlib.suppress(OSError):  # the client has left, as it should
                    answer(self)

            def log_message(self, *_: object) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_TELEMETRY", True)  # as the program has it; else it asks more
        monkeypatch.setattr(constants, "ENDPOINT", f"http://127.0.0.1:{server.server_address[1]}")

    yield start
    for server in servers:
        server.shutdown()


@pytest.mark.parametrize("status", [200, 500])
@pytest.mark.parametrize("packed", [True, False])
def test_a_long_answer_is_given_up(serve: Serve, packed: bool, status: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "ANSWER", 100_000)
    text = b'["' + b" " * 8_000_000 + b'"]'
    body = gzip.compress(text, 1) if packed else text

    def answer(request: Any) -> None:
        request.send_response(status)
        if packed:
            request.send_header("Content-Encoding", "gzip")
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        request.wfile.write(body)

    serve(answer)
    with pytest.raises(HubUnreachableError):
        resolve("org/name", None, ONCE, Silent())


def test_an_answer_that_drips_is_given_up(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "ANSWER_SECONDS", 0.5)

    def answer(request: Any) -> None:
        request.send_response(200)
        request.end_headers()
        while True:
            request.wfile.write(b" ")
            request.wfile.flush()
            time.sleep(0.05)

    serve(answer)
    started = time.monotonic()
    with pytest.raises(HubUnreachableError):
        resolve("org/name", None, ONCE, Silent())
    assert time.monotonic() - started < 30


def listing(**sizes: int) -> Listing:
    names = {name.replace("__", "."): size for name, size in sizes.items()}
    return Listing("org/name", "0" * 40, tuple(RemoteFile(name, size) for name, size in names.items()))


def test_small_files_are_small() -> None:
    found = listing(config__json=1, model__safetensors=10**12, LICENSE=10**8, README__md=10**9, NOTICE=10)
    assert [file.path for file in found.needed()] == ["config.json", "model.safetensors", "NOTICE"]
    for name in ("extra__model", "tokenizer__json", "config__json"):
        with pytest.raises(CheckpointError, match="no such file needs more"):
            listing(**{"config__json": 1, "model__safetensors": 1} | {name: 3 * 10**8}).needed()
    many = {f"config_{number}__json": 10**8 for number in range(7)}
    with pytest.raises(CheckpointError, match="beside its weights"):
        listing(config__json=1, model__safetensors=1, **many).needed()


def test_a_license_is_no_weight() -> None:
    assert not is_weight("LICENSE.bin")
    assert is_weight("pytorch_model.bin")


@pytest.mark.parametrize(
    ("endpoint", "token", "told"),
    [
        ("http://hub.example:8080", "hf_x", True),
        ("http://user:word@hub.example", "hf_x", True),
        ("http://hub.example", None, False),
        ("https://hub.example", "hf_x", False),
        ("http://127.0.0.1:1", "hf_x", False),
    ],
)
def test_a_token_over_http_is_told_of(
    endpoint: str, token: str | None, told: bool, progress: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(constants, "ENDPOINT", endpoint)
    monkeypatch.setattr("huggingface_hub.get_token", lambda: token)
    client._warn_of_plain_http(progress)
    assert bool(progress.notes) is told
    assert not any("word" in note or "hf_x" in note for note in progress.notes)
