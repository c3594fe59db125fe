"""The malicious files of picklescan's public repository (`make picklescan`): each is refused, and none runs.

They are fetched by git at a commit, whose hash is theirs, into a temporary folder, and never lie in this repository.
EDGECONV_PICKLESCAN names a clone to fetch them from where there is no network.
"""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from edgeconv.convert.pickle_file import PickleFile
from edgeconv.core.errors import CheckpointError

from ..fuzz import seeds
from ..fuzz.bounds import bounded, little_memory

SOURCE = os.environ.get("EDGECONV_PICKLESCAN", "https://github.com/mmaitre314/picklescan")
COMMIT = "f15d54da3dec9aa28a87ede82f87882bb80f1023"
PICKLES = (".pkl", ".pickle", ".joblib", ".dat", ".data", ".bin", ".pt", ".pth")
LEAST = 90
"""Files that there are at that commit, at least."""


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Path]]:
    folder = tmp_path_factory.mktemp("picklescan")
    for line in (["init", "-q"], ["fetch", "-q", "--depth", "1", SOURCE, COMMIT], ["checkout", "-q", COMMIT]):
        subprocess.run(["git", "-C", str(folder), *line], check=True, timeout=300)
    found = [path for path in sorted((folder / "tests").rglob("*")) if path.is_file() and path.suffix in PICKLES]
    yield [path for path in found if "benign" not in path.name]


def test_each_is_refused_and_none_runs(files: list[Path], tmp_path: Path) -> None:
    taken, path = [], tmp_path / "pytorch_model.bin"
    for file in files:
        for way, content in (("as it is", file.read_bytes()), ("in a zip", seeds.zipped(file.read_bytes()))):
            path.write_bytes(content)
            try:
                with little_memory(), bounded(tmp_path):
                    PickleFile(path)
            except CheckpointError:
                continue
            taken.append(f"{file.name} {way}")
    print(f"{len(files)} files, two ways each")
    assert len(files) >= LEAST
    assert not taken, taken
