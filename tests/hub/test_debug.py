"""HF_DEBUG=1: huggingface_hub writes every request down as a curl command. Nothing secret of it is shown."""

import base64
import os
import subprocess
import sys
from pathlib import Path

import pytest

from edgeconv.core.redact import redact

from .conftest import TOKEN
from .server import HubServer, Repo

PASSWORD = "open-sesame"
SECRETS = (PASSWORD, TOKEN, "signature=secret", base64.b64encode(f"me:{PASSWORD}".encode()).decode())


@pytest.mark.parametrize(
    ("command", "known", "verbose"), [("gguf", True, True), ("verify", False, True), ("publish", True, False)]
)
@pytest.mark.fault("hub: HF_DEBUG=1, a password in HF_ENDPOINT and a token", says="Neither is shown, with -v too.")
def test_no_secret_is_shown(
    command: str, known: bool, verbose: bool, hub: HubServer, repo: Repo, tmp_path: Path
) -> None:
    if known:
        hub.tokens.add(TOKEN)
    (tmp_path / "out").mkdir()
    lines = {
        "gguf": ["gguf", "--model", "org/name", "--dry-run"],
        "verify": ["verify", "org/name"],
        "publish": ["publish", str(tmp_path / "out"), "--repo", "org/name", "--dry-run"],
    }
    variables = os.environ | {
        "HF_DEBUG": "1", "HF_TOKEN": TOKEN, "HF_ENDPOINT": hub.url.replace("//", f"//me:{PASSWORD}@"), "HF_HUB_ETAG_TIMEOUT": "2",
    }  # fmt: skip
    line = [*lines[command], *(["-v"] if verbose else [])]
    done = subprocess.run(
        [sys.executable, "-P", "-m", "edgeconv", *line],
        env=variables,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    said = done.stdout + done.stderr
    assert not [secret for secret in SECRETS if secret in said], said
    if command == "gguf" and verbose:
        assert "curl -X GET" in said  # else there was nothing to hide


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("GET https://me:word@hub.example/x", "GET https://…@hub.example/x"),
        ("https://token@hub.example/x", "https://…@hub.example/x"),
        ("https://s3.example/a?X-Amz-Signature=12&b=3 done", "https://s3.example/a?… done"),
        ("with hf_abcdefghijklmnopqrstuvwxyz.", "with …."),
        ("-H 'authorization: Basic bWU6d29yZA=='", "-H 'authorization: …'"),
        ("-H 'authorization: <TOKEN>'", "-H 'authorization: <TOKEN>'"),
        ("{'Authorization': 'Bearer abc.def-ghi'}", "{'Authorization': '…'}"),
        ("Bearer abc.def-ghi", "Bearer …"),
        ("a question? yes, me@hub.example", "a question? yes, me@hub.example"),
        ("https://hub.example/a/b.json: 404", "https://hub.example/a/b.json: 404"),
    ],
)
def test_redact(text: str, shown: str) -> None:
    assert redact(text) == shown


def test_a_token_of_another_form(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "of-a-mirror-123")
    assert redact("sent of-a-mirror-123") == "sent …"
