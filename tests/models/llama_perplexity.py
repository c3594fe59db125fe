"""llama.cpp's own `llama-perplexity`, built from the sources that the sdist of llama-cpp-python carries (both are MIT).

No package of PyPI, npm or Debian 12 ships the program for Linux. Building it takes about ten CPU-minutes, a C++ compiler and PyPI
once, so that nothing is built unless `EDGECONV_BUILD_LLAMA=1` asks for it; afterwards it lies in the tests' cache. It is not the
build that edgeconv runs (cyllama's): its figures come from other sources, other compiler options and other code.
"""

import os
import shutil
import subprocess
import sys
import tarfile
from functools import partial
from pathlib import Path

from . import packages
from .store import once

REQUIREMENT = "llama-cpp-python==0.3.36"
SHA256 = "832db0699007f1be95a7e41ef12e88926b02ba836461e36a36372db2760c1a2e"
CMAKE = "cmake==4.1.2"
"""Installed for the build alone, where there is no cmake."""
NAME = "llama-perplexity"
ASKS = "EDGECONV_BUILD_LLAMA"
MISSING = f"{NAME} is not built; `make perplexity` builds it (ten CPU-minutes) and runs this"
_SOURCES = "vendor/llama.cpp"
_OPTIONS = (
    "CMAKE_BUILD_TYPE=Release", "BUILD_SHARED_LIBS=OFF", "GGML_NATIVE=OFF", "LLAMA_OPENSSL=OFF",
    "LLAMA_BUILD_SERVER=OFF", "LLAMA_BUILD_APP=OFF", "LLAMA_BUILD_TESTS=OFF", "LLAMA_BUILD_EXAMPLES=OFF",
)  # fmt: skip
"""One file that needs nothing beside it, for any processor with AVX2, without the network."""


def program(cache: Path) -> Path | None:
    """Return the program; None where it is neither in the cache nor asked for.

    Raises:
        RuntimeError: the sources are not the known ones, or cannot be built.
    """
    folder = cache / f"{NAME}-{REQUIREMENT.split('==')[1]}"
    if folder.is_dir() or os.environ.get(ASKS) == "1":
        return once(folder, partial(_fill, cache)) / NAME
    return None


def _fill(cache: Path, folder: Path) -> None:
    archive = packages.sdist(REQUIREMENT, folder, SHA256)
    sources, build = folder / "sources", folder / "build"
    _extract(archive, sources)
    cmake = _cmake(folder / "tools")
    _run([cmake, "-S", str(sources), "-B", str(build), *(f"-D{option}" for option in _OPTIONS)])
    _run([cmake, "--build", str(build), "--target", NAME, "--parallel", str(len(os.sched_getaffinity(0)))])
    (build / "bin" / NAME).rename(folder / NAME)
    (sources / "LICENSE").rename(folder / "LICENSE")
    archive.unlink()
    for rest in (sources, build, folder / "tools"):
        shutil.rmtree(rest, ignore_errors=rest.name == "tools")


def _extract(archive: Path, sources: Path) -> None:
    """Take llama.cpp alone out of the archive."""
    with tarfile.open(archive) as tar:
        prefix = f"{archive.name.removesuffix('.tar.gz')}/{_SOURCES}/"
        members = [member for member in tar.getmembers() if member.name.startswith(prefix)]
        for member in members:
            member.name = member.name.removeprefix(prefix)
        tar.extractall(sources, members, filter="data")


def _cmake(tools: Path) -> str:
    found = shutil.which("cmake")
    if found:
        return found
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
    _run([*pip, "--only-binary", ":all:", "--target", str(tools), CMAKE])
    return str(tools / "cmake" / "data" / "bin" / "cmake")


def _run(command: list[str]) -> None:
    merged = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    done = subprocess.run(command, **merged, text=True, errors="replace", check=False)
    if done.returncode:
        last = "\n".join(done.stdout.splitlines()[-20:])
        raise RuntimeError(f"{NAME} cannot be built: {' '.join(command)} fails:\n{last}")
