"""Run benchmarks, and write docs/benchmarks.md from their results.

    python -m benchmarks                          every case, some hours; `make bench` does this
    python -m benchmarks openvino-int4 rope       these
    python -m benchmarks --report                 none: only write the page again

Each pair runs both sides, whole processes, in alternating order, on checkpoints that lie in the page cache. Measure on a machine
that does nothing else. Conversions are measured without their smoke test, which is not a conversion (EDGECONV_SMOKE_TEST=0).
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path

from .cases import CASES
from .processes import ROOT
from .report import write
from .setting import Setting

RESULTS = ROOT / "docs" / "benchmarks"


def main() -> None:
    """Parse, run, report."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("cases", nargs="*", metavar="CASE", help=", ".join(CASES))
    parser.add_argument("--report", action="store_true", help="run nothing")
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--converter", type=Path, help="convert_hf_to_gguf.py of a llama.cpp checkout")
    parser.add_argument("--optimum-python", default=sys.executable, help="interpreter of optimum-intel's environment")
    parser.add_argument("--model", type=Path, help="a real checkpoint of type llama")
    parser.add_argument("--max-tokens", type=int, help="of the suite, in the cases validate and validate-quick")
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / "edgeconv-bench")
    parser.add_argument("--results", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    os.environ["EDGECONV_SMOKE_TEST"] = "0"
    unknown = set(arguments.cases) - set(CASES)
    if unknown:
        parser.error(f"no case {', '.join(sorted(unknown))}; there are {', '.join(CASES)}")
    arguments.work.mkdir(parents=True, exist_ok=True)
    setting = Setting(
        arguments.work,
        arguments.pairs,
        arguments.converter,
        arguments.optimum_python,
        arguments.model,
        arguments.max_tokens,
    )
    for name in [] if arguments.report else arguments.cases or list(CASES):
        print(name, file=sys.stderr, flush=True)
        CASES[name](setting, name).write(arguments.results)
    write(arguments.results.resolve(), ROOT / "docs" / "benchmarks.md")


if __name__ == "__main__":
    main()
