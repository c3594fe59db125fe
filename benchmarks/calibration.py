"""What looking at a text buys an IR of four bits: mean KL on the validator's suite, at equal size, and what it costs.

    python -m benchmarks.calibration [--model DIR] [--calibration FILE|suite] [--methods none,awq,…] [--json result.json]

Each way is a conversion in a process of its own, whose CPU time and peak memory the kernel tells; `edgeconv validate --quick`
measures. Methods are joined by +. Each measures its statistics anew, unless --keep-statistics.
Without --model the built-in model is taken; then the text (suite) is in part what it learned from.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

METHODS = "none,awq-free,awq,scale_estimation,awq+scale_estimation,gptq,gptq+scale_estimation,lora_correction"
METRICS = ("mean_kl", "top1")


def main() -> None:
    """Parse, measure, print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path)
    parser.add_argument("--calibration", default="suite")
    parser.add_argument("--methods", default=METHODS)
    parser.add_argument("--precision", default="int4_sym")
    parser.add_argument("--group-size", type=int, default=64)
    parser.add_argument("--num-samples", type=int, default=128)
    parser.add_argument("--max-tokens", type=int)
    parser.add_argument("--keep-statistics", action="store_true")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    from edgeconv import builtin

    model = arguments.model or builtin.model_path()
    rows = []
    print("| method | mean KL | top-1 agreement | bytes | CPU-s | peak memory |\n| --- | --- | --- | --- | --- | --- |")
    for name in arguments.methods.split(","):
        row = {"method": name, **_measured(model, name, arguments)}
        rows.append(row)
        print(
            f"| {name} | {row['mean_kl']:.5f} | {row['top1']:.1%} | {row['bytes']:,} | {row['cpu']:.0f} | "
            f"{row['peak'] / 1e6:,.0f} MB |",
            flush=True,
        )
        if arguments.json:
            arguments.json.write_text(json.dumps(rows, indent=1) + "\n")


def _measured(model: Path, name: str, arguments: argparse.Namespace) -> dict[str, Any]:
    from edgeconv.validate.parity import Ask, validate

    with tempfile.TemporaryDirectory() as work:
        out = Path(work) / "out"
        cost = _converted(model, out, _options(name, arguments), None if arguments.keep_statistics else Path(work))
        report = validate(Ask(out, reference=str(model), max_tokens=arguments.max_tokens, quick=True))
        size = sum(file.stat().st_size for file in out.glob("*.bin"))
    figures = {c.name: c.figures for c in report.comparisons}
    found = {metric: figures["quantisation"][metric].value for metric in METRICS}
    structure = next(check for check in report.rungs if check.name == "structure")
    print(name, structure.status, {k: f.value for k, f in figures["quantisation"].items()}, file=sys.stderr, flush=True)
    return {**found, "bytes": size, **cost, "structure": structure.status}


def _options(name: str, arguments: argparse.Namespace) -> list[str]:
    methods = [] if name == "none" else name.removesuffix("-free").split("+")
    options = [f"--precision={arguments.precision}", f"--group-size={arguments.group_size}", "--ratio=1"]
    options += [f"--{method.replace('_', '-')}" for method in methods]
    if methods and not name.endswith("-free"):
        options += [f"--calibration={arguments.calibration}", f"--num-samples={arguments.num_samples}"]
    return options


def _converted(model: Path, out: Path, options: list[str], cache: Path | None) -> dict[str, float]:
    """Convert in a process of its own; return its CPU seconds and the bytes that were resident at its peak, mapped ones too."""
    command = [sys.executable, "-m", "edgeconv", "openvino", f"--model={model}", f"--output={out}", "--quiet", *options]
    environment = os.environ | ({"EDGECONV_CACHE": str(cache)} if cache else {})
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, env=environment)
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"the conversion failed: {' '.join(command)}")
    return {"cpu": used.ru_utime + used.ru_stime, "peak": used.ru_maxrss * 1024}


if __name__ == "__main__":
    main()
