import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from edgeconv.core.manifest import read_manifest
from edgeconv.publish.gate import PARITY
from edgeconv.validate.formats.manifest import digest_of
from edgeconv.validate.report.write import write

from ..core import artifacts
from ..hub.conftest import TOKEN, hub, progress  # noqa: F401 - fixtures
from ..hub.server import HubServer
from ..validate import report_samples

Make = Callable[..., Path]
REPO = "org/converted"


@pytest.fixture
def artifact(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Make:
    """Makes an artifact's folder with a report of that verdict on it; None: without one."""
    monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)

    def make(verdict: str | None = "passed", name: str = "artifact") -> Path:
        folder = tmp_path / name
        shutil.rmtree(folder, ignore_errors=True)
        artifacts.make(folder)
        if verdict:
            report = report_samples.report(verdict, tokens=20)
            subject = report.artifact.model_copy(update={"digest": digest_of(read_manifest(folder))})
            write(report.model_copy(update={"artifact": subject}), folder / PARITY)
        return folder

    return make


@pytest.fixture
def writable(hub: HubServer, monkeypatch: pytest.MonkeyPatch) -> HubServer:  # noqa: F811
    """A Hub that lets this process write."""
    hub.tokens.add(TOKEN)
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    return hub


def held(hub: HubServer, repo: str = REPO) -> dict[str, bytes]:  # noqa: F811
    """The files of the default branch."""
    found = hub.repos[repo]
    return {path: data for path, data in found.commits[found.refs["main"]].items() if path != ".gitattributes"}
