"""Write a constraints file: the versions that pip would install today for `.[dev]`. Installs nothing."""

import json
import subprocess
import sys
from pathlib import Path

HEAD = """\
# The versions that edgeconv is tested with. Written by `make lock`; used by `make dev`.
# A constraint installs nothing by itself: with the CPU build of torch the nvidia-* lines have no effect.
"""


def resolved() -> dict[str, str]:
    """Return name and version of everything that an empty environment would get."""
    command = [sys.executable, "-m", "pip", "install", "--dry-run", "--ignore-installed", "--quiet", "--report", "-"]
    answer = subprocess.run([*command, ".[dev]"], check=True, stdout=subprocess.PIPE).stdout
    items = [item["metadata"] for item in json.loads(answer)["install"]]
    return {item["name"]: item["version"].partition("+")[0] for item in items if item["name"] != "edgeconv"}


def main() -> None:
    """Write the file that the first argument names."""
    lines = sorted((f"{name}=={version}\n" for name, version in resolved().items()), key=str.lower)
    Path(sys.argv[1]).write_text(HEAD + "".join(lines), "utf-8")


if __name__ == "__main__":
    main()
