"""A disk that is full or cannot be written to, and little memory: a sentence, an exit code, and nothing left."""

from __future__ import annotations

import os
import re
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from edgeconv.builtin import model_path
from edgeconv.core.errors import OutputError
from edgeconv.validate.report.write import write

from ..core.test_staging import mounted
from ..hub.conftest import TOKEN
from ..hub.server import HubServer
from ..validate import report_samples
from ..words import WORDS
from .commands import SMALL, digests, whole
from .trial import STRAY

COMMANDS = {
    "openvino": ("openvino", "-m", str(model_path()), "-p", "int8", "-o", "out"),
    "gguf": ("gguf", "-m", str(model_path()), "-o", "x.gguf"),
}
NO_FORECAST = """
import edgeconv.hub.fetch, edgeconv.convert.conversion.cost
edgeconv.convert.conversion.cost.Disk.fits = property(lambda own: True)
edgeconv.hub.fetch._require_space = lambda store, amount: None
"""
"""What is planned to fit may find the disk full all the same, if somebody else fills it."""
Disk = Callable[[str], Path]


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    """Mounts small disks: `disk("size=1m")`."""
    with ExitStack() as stack:
        made = iter(range(9))

        def mount(options: str) -> Path:
            folder = tmp_path / f"disk{next(made)}"
            folder.mkdir()
            stack.enter_context(mounted(folder, options))
            return folder

        yield mount


def fill(folder: Path) -> None:
    """Leave no byte."""
    with (folder / "filler").open("wb", buffering=0) as file:
        for block in (1 << 16, 1):
            while True:
                try:
                    file.write(bytes(block))
                except OSError:
                    break


def run(
    *arguments: str, cwd: Path, before: str = "", limit: int | None = None, **variables: str
) -> subprocess.CompletedProcess[str]:
    """Run the program, with some lines of Python `before` it, and with so many bytes of data segment."""
    program = f"import sys; sys.argv[0] = 'edgeconv'\n{before}\nfrom edgeconv.cli.main import main\nmain()"
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "EDGECONV_"))}
    own = {"EDGECONV_CACHE": str(cwd.parent / "cache"), "HF_HOME": str(cwd.parent / "hf"), "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [sys.executable, "-P", "-c", program, *arguments], cwd=cwd, env={**clean, **own, **variables},
        stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
        preexec_fn=(lambda: resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))) if limit else None,
    )  # fmt: skip


def refused(done: subprocess.CompletedProcess[str], says: str) -> None:
    assert done.returncode == 1, done.stderr
    assert re.search(f"error: .*{says}", done.stderr), done.stderr
    assert "hint: " in done.stderr
    assert "Traceback" not in done.stderr, done.stderr
    assert "Unexpected" not in done.stderr, done.stderr


def left(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.name != "filler")


@pytest.mark.parametrize("command", COMMANDS)
def test_too_small_a_disk_is_refused_with_the_numbers(command: str, disk: Disk) -> None:
    folder = disk("size=9m")
    refused(run(*COMMANDS[command], cwd=folder), rf"{folder} has 9\.4 MB free; needed are \d+\.\d MB")
    assert left(folder) == []


@pytest.mark.slow
@pytest.mark.parametrize(("command", "size"), [("openvino", "3m"), ("openvino", "6m"), ("gguf", "2m")])
def test_a_disk_that_is_full_in_the_middle(command: str, size: str, disk: Disk) -> None:
    folder = disk(f"size={size}")
    done = run(*COMMANDS[command], cwd=folder, before=NO_FORECAST)
    refused(done, rf"The disk of {folder} is full: \d\.\d MB are free on the file system {folder}\.")
    assert left(folder) == []


@pytest.mark.parametrize("size", ["8k", "16k", "24k", "40k"])
def test_a_disk_that_is_full_where_the_report_goes(size: str, disk: Disk) -> None:
    folder = disk(f"size={size}")
    with pytest.raises(OutputError, match=rf"{folder}/r.* cannot be written: No space left on device"):
        write(report_samples.report("passed", tokens=20), folder / "r")
    assert [path.name for path in folder.rglob("*") if STRAY.search(path.name)] == []
    assert set(left(folder)) <= {"r"}


@pytest.mark.slow
def test_a_full_disk_for_temporary_files_and_cache(disk: Disk, tmp_path: Path, artifact: Path) -> None:
    """Neither is needed: another place is found for the first, and the second only saves time."""
    temporary, cache = disk("size=64k"), disk("size=64k")
    fill(temporary)
    fill(cache)
    work, words = tmp_path / "work", tmp_path / "words.jsonl"
    work.mkdir()
    words.write_text(WORDS)
    own = {"TMPDIR": str(temporary), "EDGECONV_CACHE": str(cache)}
    done = run(*COMMANDS["openvino"], cwd=work, **own)
    assert done.returncode == 0, done.stderr
    assert whole(work / "out" / "edgeconv.json", work / "out") == whole(artifact / "edgeconv.json", artifact)
    done = run("validate", str(artifact), "--suite", str(words), "--quick", *SMALL, "--report", "r", cwd=work, **own)
    assert done.returncode == 0, done.stderr
    assert [
        path for path in [*temporary.rglob("*"), *cache.rglob("*")] if path.is_file() and path.name != "filler"
    ] == []


@pytest.mark.parametrize("foreseen", [True, False])
def test_a_full_disk_for_downloads(foreseen: bool, disk: Disk, tmp_path: Path) -> None:
    home, work = disk("size=4m"), tmp_path / "work"
    work.mkdir()
    with HubServer() as hub:
        hub.tokens.add(TOKEN)
        hub.add_repo("org/glm-tiny", model_path())
        done = run(
            "gguf", "-m", "org/glm-tiny", "-o", "x.gguf", cwd=work, before="" if foreseen else NO_FORECAST,
            HF_HOME=str(home), HF_ENDPOINT=hub.url, HF_HUB_DISABLE_XET="1",
        )  # fmt: skip
    refused(done, rf"needs .* GB in {home}.*has 0\.\d+ GB free" if foreseen else f"{home}.*(full|No space left)")
    assert left(work) == []


@pytest.mark.parametrize("command", COMMANDS)
def test_a_folder_that_cannot_be_written_to(command: str, disk: Disk) -> None:
    folder = disk("ro,size=200m")
    refused(run(*COMMANDS[command], cwd=folder), "cannot be written to")


@pytest.mark.slow
def test_an_output_on_another_file_system(disk: Disk, tmp_path: Path, artifact: Path) -> None:
    """Nothing is renamed across: the staging folder lies beside the output."""
    other, work = disk("size=200m"), tmp_path / "work"
    work.mkdir()
    line = [*COMMANDS["openvino"][:-1], str(other / "deep" / "out")]
    done = run(*line, cwd=work)
    assert done.returncode == 0, done.stderr
    made = other / "deep" / "out"
    assert whole(made / "edgeconv.json", made) == whole(artifact / "edgeconv.json", artifact)
    refused(run(*COMMANDS["openvino"][:-1], str(other), cwd=work), f"{other} is where a disk is mounted")


@pytest.mark.slow
@pytest.mark.parametrize("command", COMMANDS)
def test_600_mb_are_enough(command: str, tmp_path: Path, smollm2_llama: Path) -> None:
    """For a model of 270 MB in bfloat16: its weights are mapped, and pass through a few buffers."""
    work = tmp_path / "work"
    work.mkdir()
    line = [word.replace(str(model_path()), str(smollm2_llama)) for word in COMMANDS[command]]
    done = run(*line, cwd=work, limit=600 << 20)
    assert done.returncode == 0, done.stderr


def test_too_little_memory_is_a_sentence(tmp_path: Path) -> None:
    work = tmp_path / "work"
    work.mkdir()
    # with some more the first to ask in vain may be Rust, which aborts
    refused(run(*COMMANDS["gguf"], cwd=work, limit=60 << 20), "not enough memory")
    assert left(work) == []


@pytest.mark.slow
def test_too_little_memory_for_openvino(tmp_path: Path) -> None:
    """Its C++ may abort where Python would have raised: then there is no sentence, but nothing half done either."""
    work = tmp_path / "work"
    work.mkdir()
    done = run(*COMMANDS["openvino"], cwd=work, limit=90 << 20)
    assert done.returncode == 1 or done.returncode < 0, done.stderr
    assert done.returncode < 0 or "error: There is not enough memory." in done.stderr
    assert "Traceback" not in done.stderr
    assert not (work / "out").exists()
    assert run(*COMMANDS["openvino"], cwd=work).returncode == 0
    assert left(work) == ["out"]


@pytest.fixture(scope="session")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built-in model at int8. Read-only."""
    folder = tmp_path_factory.mktemp("artifact") / "work"
    folder.mkdir()
    done = run(*COMMANDS["openvino"], cwd=folder)
    assert done.returncode == 0, done.stderr
    before = digests(folder / "out")
    assert before
    shutil.rmtree(folder.parent / "cache", ignore_errors=True)
    return folder / "out"
