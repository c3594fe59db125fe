"""Write convert/gguf/pretokenizers.json from a checkout of llama.cpp: what its converter knows tokenizers by.

    python .ci/pretokenizers.py LLAMA_CPP convert/gguf/pretokenizers.json [--check]

Reads the digests and their names in `get_vocab_base_pre` of the converter (conversion/base.py), and the names that the library
takes in src/llama-vocab.cpp. With `--check` nothing is written; it fails if the file says something else.
"""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

CONVERTER = "conversion/base.py"
LIBRARY = "src/llama-vocab.cpp"


def digests(source: str) -> dict[str, str]:
    """Return digest → name from `if chkhsh == "…": res = "…"`, the last one of equal digests, as the converter takes it."""
    functions = (node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.FunctionDef))
    body = next(function.body for function in functions if function.name == "get_vocab_base_pre")
    found: dict[str, str] = {}
    for statement in body:
        if not (isinstance(statement, ast.If) and "chkhsh" in ast.unparse(statement.test)):
            continue
        (digest,) = (node.value for node in ast.walk(statement.test) if isinstance(node, ast.Constant))
        (name,) = (
            ast.literal_eval(line.value)
            for line in statement.body
            if isinstance(line, ast.Assign) and ast.unparse(line.targets[0]) == "res"
        )
        found[digest] = name
    return found


def names(source: str) -> list[str]:
    """Return every name that `tokenizer_pre` is compared with."""
    return sorted(set(re.findall(r'\btokenizer_pre\s*==\s*"([^"]+)"', source)))


def table(checkout: Path) -> dict[str, Any]:
    """Return what the file says."""
    command = ["git", "-C", str(checkout), "rev-parse", "HEAD"]
    commit = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.strip()
    known = names((checkout / LIBRARY).read_text("utf-8"))
    found = digests((checkout / CONVERTER).read_text("utf-8"))
    byte_level = {digest: name for digest, name in found.items() if name in known}  # WordPiece has no such names
    return {"commit": commit[:9], "digests": byte_level, "names": known}


def text(said: dict[str, Any]) -> str:
    """Return the file's text."""
    return json.dumps(said, indent=1) + "\n"


def main() -> int:
    """Write the file, or check it."""
    checkout, target = map(Path, sys.argv[1:3])
    wanted = text(table(checkout))
    if "--check" not in sys.argv[3:]:
        target.write_text(wanted, "utf-8")
        return 0
    same = target.read_text("utf-8") == wanted
    sys.stdout.write("" if same else f"{target} says something else than {checkout}.\n")
    return int(not same)


if __name__ == "__main__":
    sys.exit(main())
