"""Secrets and folders of this machine in what would be published."""

from pathlib import Path

import pytest

from edgeconv.core.errors import ArtifactError
from edgeconv.core.manifest import Manifest
from edgeconv.hub.sealed import SealedFile
from edgeconv.publish import leaks
from edgeconv.publish.leaks import Search, require_none
from edgeconv.publish.publish import Publication, publish
from edgeconv.validate.formats.manifest import digest_of
from edgeconv.validate.report.model import DocumentScore, TokenScore
from edgeconv.validate.report.write import write

from ..core import artifacts
from ..hub.conftest import QUICK, TOKEN, Recorder
from ..hub.server import HubServer
from ..validate import report_samples
from .conftest import REPO, Make

# Put together here, so that no tool which looks for secrets finds one in this file.
SECRETS = {
    "a token of the Hub": "hf_" + "aB3" * 12,
    "a token of GitHub": "ghp_" + "aB3" * 12,
    "a key of AWS": "AKIA" + "IOSFODNN7EXAMPLE",
    "a private key": "-----BEGIN RSA " + "PRIVATE KEY-----",
    "a token of Slack": "xoxb-" + "1234567890-" * 3,
    "a key of Google": "AIza" + "x" * 35,
    "a token of PyPI": "pypi-AgEI" + "x" * 50,
    "a token of npm": "npm_" + "a" * 36,
}


@pytest.fixture
def search(tmp_path: Path) -> Search:
    for name in ("home/alice/models", "tmp/there"):
        (tmp_path / name).mkdir(parents=True)
    return Search("my-own-token-of-no-form", tmp_path / "home/alice", tmp_path / "home/alice/models", tmp_path / "tmp")


def publish_with(folder: Path, content: bytes, progress: Recorder, name: str = "config.json") -> None:
    """Publish an artifact that has other content in a file, and a manifest and a report that know it."""
    (folder / name).write_bytes(content)
    manifest = Manifest.model_validate_json((folder / "edgeconv.json").read_bytes())
    manifest = manifest.model_copy(update={"outputs": manifest.outputs | {name: artifacts.digest(folder / name)}})
    manifest.write(folder)
    report = report_samples.report("passed", tokens=20)
    subject = report.artifact.model_copy(update={"digest": digest_of(manifest)})
    write(report.model_copy(update={"artifact": subject}), folder / "parity")
    publish(Publication(folder, REPO), progress, QUICK)


@pytest.mark.parametrize("kind", SECRETS)
def test_every_kind_of_secret_is_found_and_not_quoted(kind: str, search: Search) -> None:
    with pytest.raises(ArtifactError, match=f"config.json holds {kind}") as caught:
        require_none(search, {"config.json": f'{{"note": "{SECRETS[kind]}"}}'.encode()})
    assert SECRETS[kind] not in caught.value.message + str(caught.value.hint)


@pytest.mark.parametrize("form", ["text", "gguf", "ir"])
@pytest.mark.fault(
    "publish: a secret in a file, in GGUF's keys or in an IR", says="Refused before anything is made there."
)
def test_a_secret_is_not_published(form: str, writable: HubServer, artifact: Make, progress: Recorder) -> None:
    text = SECRETS["a key of AWS"].encode()
    content, name = {
        "text": (b'{"note": "' + text + b'"}', "config.json"),
        "gguf": (b"GGUF\3\0\0\0" + bytes(32) + text + bytes(1 << 21), "model.gguf"),
        "ir": (b'<net><rt_info><x value="' + text + b'"/></rt_info></net>', "openvino_model.xml"),
    }[form]
    with pytest.raises(ArtifactError, match=f"{name} holds a key of AWS") as caught:
        publish_with(artifact(), content, progress, name)
    assert text.decode() not in caught.value.message + str(caught.value.hint)
    assert REPO not in writable.repos


def test_the_token_itself_is_not_published(writable: HubServer, artifact: Make, progress: Recorder) -> None:
    with pytest.raises(ArtifactError, match="your access token") as caught:
        publish_with(artifact(), b'{"x": "' + TOKEN.encode() + b'"}', progress)
    assert TOKEN not in caught.value.message + str(caught.value.hint)


def test_a_secret_across_two_blocks_is_found(search: Search, tmp_path: Path) -> None:
    secret = SECRETS["a token of the Hub"].encode()
    for before in range(leaks.BLOCK - len(secret), leaks.BLOCK + 1, 3):
        (tmp_path / "file").write_bytes(b" " * before + secret + b" " * 100)
        file = SealedFile(tmp_path / "file")
        assert [leak.kind for leak in search.file("file", file)] == ["a token of the Hub"], before
        file.close()


def test_a_secret_that_a_report_has_token_by_token_is_found(search: Search) -> None:
    secret = SECRETS["a token of GitHub"]
    tokens = [TokenScore(text=secret[at : at + 3]) for at in range(0, len(secret), 3)]
    document = DocumentScore(name="x", kind="code", mean_kl=0, tokens=tokens)
    report = report_samples.report("passed", tokens=20).model_copy(update={"documents": [document]})
    with pytest.raises(ArtifactError, match=r"parity\.json holds a token of GitHub"):
        require_none(search, {}, [("parity/parity.json", report)])


@pytest.mark.parametrize("place", ["home/alice", "home/alice/.ssh/id", "home/alice/models/x"])
@pytest.mark.fault("publish: a path of this machine in a file", says="Refused; the file is named.")
def test_a_path_of_this_machine_is_not_published(place: str, search: Search, tmp_path: Path) -> None:
    content = f'{{"_name_or_path": "{tmp_path / place}"}}'.encode()
    with pytest.raises(ArtifactError, match=r"config\.json holds a path in your home folder"):
        require_none(search, {"config.json": content})
    require_none(search, {"config.json": content.replace(b"alice", b"alice2")})


def test_tmp_counts_if_it_is_there(tmp_path: Path) -> None:
    """Vocabularies and programs that a model writes say /tmp too."""

    search = Search(None, Path("/"), Path("/"), Path("/tmp"))
    require_none(search, {"tokenizer.json": b'["/tmp", "/tmp/", "/tmp/no-such-thing/x"]'})
    first = next(
        path for path in Path("/tmp").iterdir() if path.name.isascii() and path.name.replace("-", "").isalnum()
    )
    with pytest.raises(ArtifactError, match="a path in the folder of temporary files"):
        require_none(search, {"config.json": f'"{first}/x"'.encode()})


@pytest.mark.parametrize(
    "text",
    ["hf_transfer", "AKIA", "-----BEGIN CERTIFICATE-----", "/home/alice", "ghp_short", "my-own-token", "sk-learn"],
)
def test_what_is_no_secret_passes(text: str, search: Search) -> None:
    require_none(search, {"README.md": text.encode()})
