"""Vision-language models in every format and with every tool: what they say about pictures, beside transformers in float32.

    python -m benchmarks.coverage.pictures               ours and openvino_genai over it, all families: a quarter of an hour
    python -m benchmarks.coverage.pictures qwen2_vl      this one
    python -m benchmarks.coverage.pictures --tools optimum-cli,llama.cpp --converter …   the peers

Results are kept in docs/coverage-pictures.json, a family at a time, and shown in docs/coverage-pictures.md.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..processes import ROOT
from .pictures_page import page

RESULTS = ROOT / "docs" / "coverage-pictures.json"
PAGE = ROOT / "docs" / "coverage-pictures.md"
CELLS = (
    "edgeconv openvino", "openvino_genai openvino", "edgeconv gguf", "edgeconv onnx", "optimum-cli openvino", "llama.cpp gguf",
)  # fmt: skip
"""What makes and runs what; openvino_genai runs what edgeconv made."""
_SECONDS = 600


def main() -> None:
    """Parse, run, report."""
    from tests.models.tiny_vlm import FAMILIES

    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.coverage.pictures",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("names", nargs="*", metavar="TYPE", help=", ".join(FAMILIES))
    parser.add_argument("--report", action="store_true", help="run nothing")
    parser.add_argument("--tools", default="edgeconv,openvino_genai", help="of these and optimum-cli, llama.cpp")
    parser.add_argument("--formats", default="openvino,gguf,onnx", help="of these, separated by commas")
    parser.add_argument("--converter", type=Path, help="convert_hf_to_gguf.py of a llama.cpp checkout")
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / "edgeconv-pictures")
    arguments = parser.parse_args()
    if unknown := set(arguments.names) - set(FAMILIES):
        parser.error(f"no family {', '.join(sorted(unknown))}; there are {', '.join(FAMILIES)}")
    tools = arguments.tools.split(",")
    if "llama.cpp" in tools and not arguments.converter:
        parser.error("llama.cpp needs --converter, its convert_hf_to_gguf.py")
    results = json.loads(RESULTS.read_text("utf-8")) if RESULTS.is_file() else {}
    formats = arguments.formats.split(",")
    cells = [cell for cell in CELLS if cell.split()[0] in tools and cell.split()[1] in formats]
    for name in [] if arguments.report else arguments.names or FAMILIES:
        found = run(name, cells, arguments.work, arguments.converter)
        results[name] = results.get(name, {}) | found
        results = {name: results[name] for name in FAMILIES if name in results}
        RESULTS.write_text(json.dumps(results, indent=1) + "\n", "utf-8")
        print(name, *(f"{cell}: {one['kind']}" for cell, one in found.items()), file=sys.stderr, flush=True)
    PAGE.write_text(page(results), "utf-8")


def run(kind: str, cells: list[str], work: Path, converter: Path | None) -> Mapping[str, Any]:
    """Run a family's cells, each in a process of its own: cell → outcome."""
    found = {}
    for cell in cells:
        line = [sys.executable, "-m", "benchmarks.coverage.pictures_cell", *cell.split(), kind, str(work)]
        command = [*line, *([str(converter)] if converter else [])]
        quiet = os.environ | {"EDGECONV_SMOKE_TEST": "0", "OMP_NUM_THREADS": "1"}
        try:
            done = subprocess.run(
                command, cwd=ROOT, env=quiet, capture_output=True, text=True, check=False, timeout=_SECONDS
            )
            found[cell] = json.loads(done.stdout.splitlines()[-1])
        except (IndexError, ValueError):  # a runtime ended the process
            found[cell] = {"kind": "not run", "said": f"the process ended with {done.returncode}: {done.stderr[-200:]}"}
        except subprocess.TimeoutExpired:
            found[cell] = {"kind": "not run", "said": f"longer than {_SECONDS} s"}
    shutil.rmtree(work, ignore_errors=True)
    return found


if __name__ == "__main__":
    main()
