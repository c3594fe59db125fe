"""`edgeconv validate` beside the bare passes that it runs: what the comparisons, the report and the other rungs cost.

    python -m benchmarks.validate REFERENCE ARTEFACT --quick --pairs 3 --json result.json

A pair runs the whole command with an empty cache, then the bare passes over the same tokens (or the other way round). The
command counts from its start to its end; of the bare passes only loading and running the models counts.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from .measure import measure

ROOT = Path(__file__).parents[1]


def main() -> None:
    """Parse, run, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("reference", type=Path)
    parser.add_argument("artefact", type=Path)
    parser.add_argument("--quick", action="store_true", help="reference and artefact once, teacher-forced")
    parser.add_argument("--max-tokens", type=int)
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as work:
        result = compare(arguments, Path(work))
    print(table(result))
    if arguments.json:
        arguments.json.write_text(json.dumps(result, indent=1) + "\n")


def compare(arguments: argparse.Namespace, work: Path) -> dict[str, Any]:
    """Run both in turn."""
    plan = work / "plan.json"
    plan.write_text(json.dumps(_plan(arguments)))
    runs: dict[str, list[Any]] = {"validate": [], "bare": []}
    for pair in range(arguments.pairs):
        for side in ("validate", "bare") if pair % 2 == 0 else ("bare", "validate"):
            made = _validate(arguments, work) if side == "validate" else _bare(arguments, plan)
            runs[side].append(made)
            print(f"{side}: {made}", file=sys.stderr)
    return {"quick": arguments.quick, "tokens": _tokens(plan), "runs": runs}


def _plan(arguments: argparse.Namespace) -> dict[str, Any]:
    """The tokens of every pass, as the validator would take them."""
    from edgeconv.core.progress import Silent
    from edgeconv.validate import ladder
    from edgeconv.validate.rungs.generation import prompt_ids
    from edgeconv.validate.subject import open_pair
    from edgeconv.validate.suite import load

    suite = load(None)
    pair = open_pair(arguments.artefact, str(arguments.reference), Silent())
    ask = ladder.Ask(arguments.artefact, max_tokens=arguments.max_tokens)
    climb = ladder._Climb(ask, pair, suite, [], Silent())
    prompts = [[message.model_dump() for message in prompt] for prompt in suite.prompts]
    return {
        "documents": climb.ids,
        "long": climb._long(),
        "share": climb.share,
        "prompts": [prompt_ids(climb.tokenizer, messages) for messages in prompts],
        "stop": pair.stop_ids,
        "full": not arguments.quick,
    }


def _validate(arguments: argparse.Namespace, work: Path) -> dict[str, float]:
    cache = work / "cache"
    shutil.rmtree(cache, ignore_errors=True)
    command = [sys.executable, "-m", "edgeconv", "validate", str(arguments.artefact),
               "--reference", str(arguments.reference), "-q"]  # fmt: skip
    command += ["--quick"] if arguments.quick else []
    command += ["--max-tokens", str(arguments.max_tokens)] if arguments.max_tokens else []
    # exit code 3 is an answer too; only the cost counts here
    shell = ["bash", "-c", '"$@"; code=$?; [ $code = 3 ] || exit $code', "bash", *command]
    made = measure(shell, work / "validate.log", {"EDGECONV_CACHE": str(cache)}, cwd=ROOT)
    return {"seconds": made.wall, "cpu": made.cpu, "anonymous": made.anonymous}


def _bare(arguments: argparse.Namespace, plan: Path) -> dict[str, Any]:
    command = [
        sys.executable,
        "-m",
        "benchmarks.bare_passes",
        str(arguments.reference),
        str(arguments.artefact),
        str(plan),
    ]
    before, started = os.times(), time.perf_counter()
    done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    after, wall = os.times(), time.perf_counter() - started
    passes = json.loads(done.stdout)
    cpu = after.children_user + after.children_system - before.children_user - before.children_system
    return {"seconds": sum(passes.values()), "passes": passes, "process_seconds": wall, "process_cpu": cpu}


def _tokens(plan: Path) -> int:
    return sum(map(len, json.loads(plan.read_text())["documents"]))


def table(result: dict[str, Any]) -> str:
    """Render medians and the ratio of each pair."""
    ours = [run["seconds"] for run in result["runs"]["validate"]]
    theirs, processes = ([run[key] for run in result["runs"]["bare"]] for key in ("seconds", "process_seconds"))
    ratios = [a / b for a, b in zip(ours, theirs, strict=True)]
    whole = [a / b for a, b in zip(ours, processes, strict=True)]
    kind = "--quick" if result["quick"] else "every rung"
    return "\n".join(
        [
            f"validate, {kind}, {result['tokens']} tokens of the suite, {len(ratios)} pairs (medians)",
            f"the whole command      {statistics.median(ours):7.1f} s",
            f"the bare passes in it  {statistics.median(theirs):7.1f} s",
            f"ratio                  {statistics.median(ratios):7.2f} ({min(ratios):.2f}–{max(ratios):.2f})",
            f"to the bare process, imports too {statistics.median(whole):.2f} ({min(whole):.2f}–{max(whole):.2f})",
        ]
    )


if __name__ == "__main__":
    main()
