"""The README's picture: real commands, run here, drawn as a terminal.

python -m benchmarks.terminal_picture docs/demo.svg
"""

from __future__ import annotations

import html
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

COMMANDS = ("edgeconv demo", "edgeconv inspect edgeconv-demo")
WIDTH = 104


def main() -> None:
    """Run the commands in an empty folder and save what they print."""
    from rich.console import Console
    from rich.text import Text

    console = Console(record=True, width=WIDTH, file=open(os.devnull, "w"))  # noqa: SIM115, PTH123 - for the process's life
    with tempfile.TemporaryDirectory() as folder:
        for command in COMMANDS:
            console.print(Text.assemble(("$ ", "bold green"), (command, "bold")))
            done = subprocess.run(
                [sys.executable, "-m", *command.split()],
                cwd=folder,
                env={**os.environ, "NO_COLOR": "1", "COLUMNS": str(WIDTH)},
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                check=True,
            )
            console.print(Text(done.stdout))
    Path(sys.argv[1]).write_text(_widened(console.export_svg(title="edgeconv")), "utf-8")


def _widened(svg: str) -> str:
    """Give Chinese text its two cells a character: rich counts characters when it sets a text's length."""
    from rich.cells import cell_len

    def mend(match: re.Match[str]) -> str:
        text = html.unescape(match[4])
        per_character = float(match[2]) / len(text)
        return f"{match[1]}{per_character * cell_len(text):g}{match[3]}{match[4]}"

    return re.sub(r'(<text [^>]*textLength=")([\d.]+)("[^>]*>)([^<]+)', mend, svg)


if __name__ == "__main__":
    main()
