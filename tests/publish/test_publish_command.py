import pytest

from ..cli.conftest import Command, edgeconv  # noqa: F401 - a fixture
from ..hub.conftest import TOKEN
from ..hub.server import HubServer
from .conftest import REPO, Make, held


def test_the_address_is_all_of_stdout(edgeconv: Command, writable: HubServer, artifact: Make) -> None:  # noqa: F811
    result = edgeconv("publish", artifact(), "--repo", REPO)
    assert result.code == 0
    assert result.out == f"{writable.url}/{REPO}/tree/{writable.repos[REPO].refs['main']}\n"
    assert "sent: " in result.err
    again = edgeconv("publish", artifact(), "--repo", REPO, "--json").data
    assert (again["commit"], again["change"]["sent"]) == (None, [])
    assert TOKEN not in result.out + result.err


def test_a_dry_run_lists_what_would_be_sent(edgeconv: Command, writable: HubServer, artifact: Make) -> None:  # noqa: F811
    result = edgeconv("publish", artifact(), "--repo", REPO, "--dry-run")
    assert (result.code, writable.repos) == (0, {})
    assert "openvino_model.bin" in result.out
    assert edgeconv("publish", artifact(), "--repo", REPO, "--dry-run", "--json").data["dry_run"] is True


@pytest.mark.parametrize(
    ("verdict", "options", "code", "says"),
    [
        ("failed", [], 3, "its parity report failed"),
        (None, [], 3, "there is no parity report"),
        (None, ["--allow-unvalidated"], 0, "nobody has shown"),
        ("passed", ["--branch", "a b"], 2, "cannot be a branch"),
    ],
)
def test_the_gate_and_its_exit_codes(
    verdict: str | None,
    options: list[str],
    code: int,
    says: str,
    edgeconv: Command,  # noqa: F811
    writable: HubServer,
    artifact: Make,
) -> None:
    result = edgeconv("publish", artifact(verdict), "--repo", REPO, *options)
    assert result.code == code
    assert says in result.err
    assert (REPO in writable.repos) == (code == 0)


def test_verify_and_diff(edgeconv: Command, writable: HubServer, artifact: Make) -> None:  # noqa: F811
    folder = artifact()
    edgeconv("publish", folder, "--repo", REPO)
    assert "all as the manifest says" in edgeconv("verify", REPO).out
    assert edgeconv("verify", folder, "--json").data["whole"] is True
    assert "0 files differ, 0 tensors" in edgeconv("diff", folder, REPO, "--tensors").out
    (folder / "config.json").write_text("{}")
    broken = edgeconv("verify", folder)
    assert (broken.code, "config.json" in broken.err) == (1, True)
    assert held(writable)["config.json"] != b"{}"
