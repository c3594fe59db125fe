import subprocess
import sys
from pathlib import Path

from edgeconv.cli import reference
from edgeconv.core.errors import ExitCode

DOCUMENT = Path(__file__).parents[2] / "docs" / "cli.md"


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "edgeconv.cli.reference", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_document_is_current() -> None:
    assert DOCUMENT.read_text("utf-8") == reference.render(), "run `make docs`"


def test_every_exit_code_is_explained() -> None:
    assert set(reference.EXIT_CODES) == set(ExitCode)


def test_commands_options_and_arguments_are_in_it() -> None:
    text = reference.render()
    for word in (
        "## edgeconv openvino",
        "`--group-size` N",
        "| `OUT` | A converted model: a folder, or a GGUF beside its manifest. | required |",
    ):
        assert word in text
    assert "`mxfp4`" in text


def test_check_tells_a_current_file_from_an_old_one(tmp_path: Path) -> None:
    assert run(tmp_path / "cli.md").returncode == 0
    assert run("--check", tmp_path / "cli.md").returncode == 0
    (tmp_path / "cli.md").write_text("old\n")
    old = run("--check", tmp_path / "cli.md")
    assert old.returncode == 1
    assert "-old" in old.stdout
    assert "make docs" in old.stderr
    assert (tmp_path / "cli.md").read_text() == "old\n"


def test_a_missing_file_is_not_current(tmp_path: Path) -> None:
    assert run("--check", tmp_path / "absent.md").returncode == 1
