"""Who may read what, and what becomes of the token."""

from collections.abc import Callable
from pathlib import Path

import pytest

from edgeconv.core.errors import (
    AccessError,
    ExitCode,
)
from edgeconv.hub.fetch import Fetched

from .conftest import SHARD, TOKEN, Recorder, content, needed
from .server import Files, HubServer, Repo


@pytest.mark.fault("hub: the repository is absent")
def test_absent_repository(hub: HubServer, fetch: Callable[..., Fetched]) -> None:
    with pytest.raises(AccessError, match="org/absent is not on the Hub, or is private") as caught:
        fetch("org/absent")
    assert caught.value.exit_code == ExitCode.ACCESS
    assert "hf auth login" in (caught.value.hint or "")
    assert "./org/absent" in (caught.value.hint or "")


@pytest.mark.parametrize("revision", ["v9", "0" * 40])
@pytest.mark.fault("hub: the revision is absent")
def test_absent_revision(repo: Repo, fetch: Callable[..., Fetched], revision: str) -> None:
    with pytest.raises(AccessError, match=f"no revision '{revision}'"):
        fetch(f"org/name@{revision}")


@pytest.mark.fault("hub: the repository is gated")
def test_gated_repository(
    hub: HubServer, repo: Repo, files: Files, fetch: Callable[..., Fetched], monkeypatch: pytest.MonkeyPatch
) -> None:
    repo.gated = True
    with pytest.raises(AccessError, match="is gated") as caught:
        fetch()
    assert (
        caught.value.hint
        == f"Accept its license at {hub.url}/org/name, then log in with `hf auth login` or set HF_TOKEN."
    )
    assert not hub.asked("/storage/")
    hub.tokens.add(TOKEN)
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    assert content(fetch().path) == needed(files)


@pytest.mark.fault("hub: the repository is gated, and the token may not pass")
def test_gate_that_stays_closed(
    hub: HubServer, repo: Repo, fetch: Callable[..., Fetched], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    hub.tokens.add(TOKEN)
    hub.fail("HEAD", "/resolve/", status=403, headers={"X-Error-Code": "GatedRepo"})
    with pytest.raises(AccessError, match="is gated") as caught:
        fetch()
    assert "use a token of that account" in (caught.value.hint or "")


@pytest.mark.parametrize("where", ["HF_TOKEN", "file"])
def test_private_repository(
    hub: HubServer, repo: Repo, files: Files, fetch: Callable[..., Fetched], monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path, where: str,
) -> None:  # fmt: skip
    repo.private = True
    hub.tokens.add(TOKEN)
    with pytest.raises(AccessError, match="or is private"):
        fetch()
    if where == "file":
        (tmp_path / "hf").mkdir(exist_ok=True)
        (tmp_path / "hf" / "token").write_text(TOKEN)
    else:
        monkeypatch.setenv("HF_TOKEN", TOKEN)
    assert content(fetch().path) == needed(files)
    assert all(request.token == TOKEN for request in hub.asked("/api/models/org/name")[1:])
    assert hub.asked("/storage/")
    assert not any(request.token for request in hub.asked("/storage/"))  # another host


@pytest.mark.parametrize("token", [TOKEN, "hf_Sécrèt_Secret_Secret", "hf_Secret\x01Secret_Secret"])
@pytest.mark.fault("hub: a bad token", says="Refused, and never shown.")
def test_a_bad_token_is_refused_and_not_shown(
    hub: HubServer, repo: Repo, fetch: Callable[..., Fetched], monkeypatch: pytest.MonkeyPatch, progress: Recorder,
    capfd: pytest.CaptureFixture[str], token: str,
) -> None:  # fmt: skip
    monkeypatch.setenv("HF_TOKEN", token)
    with pytest.raises(AccessError, match="token") as caught:
        fetch()
    assert "anew" in (caught.value.hint or "")
    shown = "".join([caught.value.message, caught.value.hint or "", progress.text, *capfd.readouterr()])
    assert "Secret" not in shown
    assert "crèt" not in shown
    if not token.isascii():  # the library's own error quotes the header
        assert caught.value.__cause__ is None


@pytest.mark.fault("hub: a library's warning quotes a signed address", says="The signature is cut off.")
def test_warnings_of_the_library_show_no_secrets(
    hub: HubServer, repo: Repo, fetch: Callable[..., Fetched], progress: Recorder, capfd: pytest.CaptureFixture[str]
) -> None:
    hub.cut(SHARD, after=5, times=1)
    fetch()
    assert "Trying to resume" in progress.text
    assert "signature=secret" not in progress.text
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("status", [401, 403])
def test_forbidden(hub: HubServer, repo: Repo, fetch: Callable[..., Fetched], status: int) -> None:
    hub.fail("GET", "/revision/", status=status)
    with pytest.raises(AccessError, match="org/name"):
        fetch()
