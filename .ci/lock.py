"""Write a requirements file: the newest versions that pyproject.toml admits for `.[dev]`, with the hashes of all their files.

The versions that build the package are pyproject's own. Installs nothing.
"""

import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

PROJECT = Path(__file__).parents[1] / "pyproject.toml"
HEAD = """\
# The versions that edgeconv is tested with, and the SHA-256 of every file of theirs. Written by `make lock`; `make dev` installs
# these and nothing else (`pip install --require-hashes`).
"""


def resolved(upgrade: list[str]) -> str:
    """Return names, versions and hashes of everything that an empty environment would get, whatever the machine."""
    build = tomllib.loads(PROJECT.read_text("utf-8"))["build-system"]["requires"]
    options = [
        "--extra",
        "dev",
        "--universal",
        "--python-version",
        "3.11",
        "--generate-hashes",
        "--no-header",
        "--no-annotate",
    ]
    with tempfile.NamedTemporaryFile("w", suffix=".in") as file:
        file.write("\n".join(build) + "\n")
        file.flush()
        command = [sys.executable, "-m", "uv", "pip", "compile", *options, *upgrade, str(PROJECT), file.name]
        return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def main() -> None:
    """Write the file that the first argument names; `--keep` keeps the versions that it has."""
    target = Path(sys.argv[1])
    upgrade = ["--constraint", str(target)] if "--keep" in sys.argv[2:] else ["--upgrade"]
    target.write_text(HEAD + resolved(upgrade), "utf-8")


if __name__ == "__main__":
    main()
