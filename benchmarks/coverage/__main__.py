"""Convert tiny checkpoints with every tool, and compare the results' logits with transformers' in float32.

    python -m benchmarks.coverage                        ours, all checkpoints and formats: half an hour
    python -m benchmarks.coverage qwen3 lfm2             these
    python -m benchmarks.coverage --tools optimum-cli,llama.cpp --converter …  the peers
    python -m benchmarks.coverage --report               none: only write docs/coverage.md again

Results are kept in docs/coverage.json, a checkpoint at a time.
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
from .checkpoint import REFERENCE, Row, make, rows
from .page import page

RESULTS = ROOT / "docs" / "coverage.json"
PAGE = ROOT / "docs" / "coverage.md"
CELLS = (
    ("edgeconv", "openvino"), ("edgeconv", "gguf"), ("edgeconv", "onnx"), ("optimum-cli", "openvino"), ("llama.cpp", "gguf"),
)  # fmt: skip
"""What each tool makes."""
_SECONDS = 600


def main() -> None:
    """Parse, run, report."""
    known = rows()
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.coverage", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(known))
    parser.add_argument("--report", action="store_true", help="run nothing")
    parser.add_argument("--tools", default="edgeconv", help="of edgeconv, optimum-cli, llama.cpp, separated by commas")
    parser.add_argument("--converter", type=Path, help="convert_hf_to_gguf.py of a llama.cpp checkout")
    parser.add_argument("--formats", default="openvino,gguf,onnx", help="of these, separated by commas")
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / "edgeconv-coverage")
    arguments = parser.parse_args()
    if unknown := set(arguments.names) - set(known):
        parser.error(f"no checkpoint {', '.join(sorted(unknown))}; there are {', '.join(known)}")
    tools, formats = arguments.tools.split(","), arguments.formats.split(",")
    if "llama.cpp" in tools and not arguments.converter:
        parser.error("llama.cpp needs --converter, its convert_hf_to_gguf.py")
    results = json.loads(RESULTS.read_text("utf-8")) if RESULTS.is_file() else {}
    cells = [(tool, form) for tool, form in CELLS if tool in tools and form in formats]
    for name in [] if arguments.report else arguments.names or known:
        found = run(known[name], cells, arguments.work, arguments.converter)
        results[name] = results.get(name, {}) | found
        results = {name: results[name] for name in known if name in results}
        RESULTS.write_text(json.dumps(results, indent=1) + "\n", "utf-8")
        print(name, *(f"{cell}: {one['kind']}" for cell, one in found.items()), file=sys.stderr, flush=True)
    PAGE.write_text(page(known, results), "utf-8")


def run(row: Row, cells: list[tuple[str, str]], work: Path, converter: Path | None) -> Mapping[str, Any]:
    """Run a checkpoint's cells: "TOOL FORMAT" → outcome."""
    source = (
        work / row.name / "model"
    )  # llama.cpp takes a folder's name for the model's, and treats a "phi3" by its name
    if not (source / REFERENCE).is_file():
        shutil.rmtree(source, ignore_errors=True)
        make(row, source)
    found = {}
    for tool, form in cells:
        line = [
            sys.executable,
            "-m",
            "benchmarks.coverage.cell",
            tool,
            form,
            str(source),
            str(work / f"out-{os.getpid()}"),
        ]
        command = [*line, *([str(converter)] if converter else [])]
        quiet = os.environ | {"EDGECONV_SMOKE_TEST": "0", "OMP_NUM_THREADS": "1"}
        try:
            done = subprocess.run(
                command, cwd=ROOT, env=quiet, capture_output=True, text=True, check=False, timeout=_SECONDS
            )
            found[f"{tool} {form}"] = json.loads(done.stdout.splitlines()[-1])
        except (IndexError, ValueError):  # the runtime ended the process
            found[f"{tool} {form}"] = {"kind": "not run", "said": f"the process ended with {done.returncode}"}
        except subprocess.TimeoutExpired:
            found[f"{tool} {form}"] = {"kind": "not run", "said": f"longer than {_SECONDS} s"}
    return found


if __name__ == "__main__":
    main()
