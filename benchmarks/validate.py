"""`edgeconv validate` beside the bare passes that it runs: what the comparisons, the report and the other checks cost.

A pair runs the whole command with an empty cache, then the bare passes over the same tokens (or the other way round). The
command counts from its start to its end; of the bare passes only loading and running the models counts.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from .measure import measure
from .openvino import SCHEMES, ours_command
from .processes import ROOT
from .result import Figure, Result, Target
from .setting import Setting


def beside_bare_passes(setting: Setting, name: str, targets: dict[str, Target], *, quick: bool) -> Result:
    """Validate an int8 IR of a real model, and run the bare passes, in turn."""
    if setting.model is None:
        raise SystemExit(f"{name} needs --model: a real checkpoint")
    work = setting.work / "validate"
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    artifact = work / "int8"
    subprocess.run(ours_command(setting.model, artifact, SCHEMES["int8"][0]), check=True, cwd=ROOT, capture_output=True)
    plan = work / "plan.json"
    plan.write_text(json.dumps(_plan(setting, artifact, quick=quick)))
    runs: dict[str, list[dict[str, Any]]] = {"validate": [], "bare": []}
    for pair in range(setting.pairs):
        for side in ("validate", "bare") if pair % 2 == 0 else ("bare", "validate"):
            made = (
                _validate(setting, artifact, work, quick=quick)
                if side == "validate"
                else _bare(setting.model, artifact, plan)
            )
            runs[side].append(made)
            print(f"{side}: {made}", file=sys.stderr, flush=True)
    tokens = sum(map(len, json.loads(plan.read_text())["documents"]))
    size = sum(path.stat().st_size for path in artifact.iterdir())
    shutil.rmtree(work)
    target = targets.get("wall", Target())
    ours, whole, memory = ([run[key] for run in runs["validate"]] for key in ("seconds", "cpu", "anonymous"))
    bare, process = ([run[key] for run in runs["bare"]] for key in ("seconds", "process_seconds"))
    figures = [
        Figure("wall, beside the sum of the bare passes", "s", ours, bare, at_least=target.at_least),
        Figure("wall, beside the process that runs them", "s", ours, process),
        Figure("CPU", "s", whole, [run["process_cpu"] for run in runs["bare"]]),
        Figure("peak anonymous memory", "GB", [value / 1e9 for value in memory]),
        Figure("peak memory, less the artifact's size", "GB", [(run["rss"] - size) / 1e9 for run in runs["validate"]]),
    ]
    rungs = "reference and artifact once (--quick)" if quick else "every rung"
    title = f"edgeconv validate, {setting.model.name} at int8, {tokens:,} tokens, {rungs}"
    note = "A ratio of 0.83 means 1.2 times the bare passes. In the first line imports count on our side only."
    return Result(
        name, title, f"python -m benchmarks {name} --model {setting.model.name}", "the bare passes", figures, [note]
    )


def _plan(setting: Setting, artifact: Path, *, quick: bool) -> dict[str, Any]:
    """The tokens of every pass, as the validator would take them."""
    from edgeconv.core.progress import Silent
    from edgeconv.validate import parity
    from edgeconv.validate.checks.generation import prompt_ids
    from edgeconv.validate.probes import LONG, Probes
    from edgeconv.validate.suite import load
    from edgeconv.validate.target import open_pair

    suite = load(None)
    pair = open_pair(artifact, str(setting.model), Silent())
    ask = parity.Ask(artifact, max_tokens=setting.max_tokens)
    climb = parity._Run(ask, pair, suite, [], Silent())
    prompts = [[message.turn for message in prompt] for prompt in suite.prompts]
    return {
        "documents": climb.ids,
        "long": Probes.of(climb.ids, pair.checkpoint.config.get("max_position_embeddings"), LONG).long,
        "share": climb.share,
        "prompts": [prompt_ids(climb.tokenizer, messages) for messages in prompts],
        "stop": pair.stop_ids,
        "full": not quick,
    }


def _validate(setting: Setting, artifact: Path, work: Path, *, quick: bool) -> dict[str, float]:
    cache = work / "cache"
    shutil.rmtree(cache, ignore_errors=True)
    command = [sys.executable, "-m", "edgeconv", "validate", str(artifact), "--reference", str(setting.model), "-q"]
    command += ["--quick"] if quick else []
    command += ["--max-tokens", str(setting.max_tokens)] if setting.max_tokens else []
    # exit code 3 is an answer too; only the cost counts here
    shell = ["bash", "-c", '"$@"; code=$?; [ $code = 3 ] || exit $code', "bash", *command]
    made = measure(shell, work / "validate.log", {"EDGECONV_CACHE": str(cache)}, cwd=ROOT)
    return {"seconds": made.wall, "cpu": made.cpu, "anonymous": made.anonymous, "rss": made.rss}


def _bare(reference: Path, artifact: Path, plan: Path) -> dict[str, Any]:
    command = [sys.executable, "-m", "benchmarks.bare_passes", str(reference), str(artifact), str(plan)]
    before, started = os.times(), time.perf_counter()
    done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    after, wall = os.times(), time.perf_counter() - started
    passes = json.loads(done.stdout)
    cpu = after.children_user + after.children_system - before.children_user - before.children_system
    return {"seconds": sum(passes.values()), "passes": passes, "process_seconds": wall, "process_cpu": cpu}
