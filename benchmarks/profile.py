"""Where the CPU time of a conversion goes, by `perf record`: what stands between us and the disk's speed."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections import Counter

from .measure import measure
from .openvino import SCHEMES, ours_command
from .processes import ROOT, checkpoint
from .result import Figure, Result
from .setting import Setting

FREQUENCY = 499
"""Samples a second of each thread."""
_SAMPLE = re.compile(r"\s*(?P<pid>\d+)\s+(?P<symbol>.*?)\s+\((?P<file>[^()]*)\)\s*$")
_HASH = re.compile(r"sha256|sha_256", re.IGNORECASE)
TOKENIZER, HASHING, QUANTIZING = "tokenizer's conversion", "SHA-256 of what is read and written", "quantizing"
KERNEL, REST = "the system: reading, writing, memory", "imports, Python, the graph"


def profile(setting: Setting, name: str, size: str) -> Result:
    """Convert once to int4 at ratio 1 with the page cache warm, and share out the samples.

    Raises:
        SystemExit: there is no perf, or it may not record here.
    """
    if shutil.which("perf") is None:
        raise SystemExit(f"{name} needs perf (Linux's)")
    source, out, data = checkpoint(setting.work, size), setting.work / "out", setting.work / "perf.data"
    command = ours_command(source, out, SCHEMES["int4-ratio1"][0])
    shutil.rmtree(out, ignore_errors=True)
    measure(command, setting.work / "warm-up.log", cwd=ROOT)
    shutil.rmtree(out)
    recorded = ["perf", "record", "-q", "-F", str(FREQUENCY), "-o", str(data), "--", *command]
    made = measure(recorded, setting.work / "perf.log", cwd=ROOT)
    shutil.rmtree(out)
    script = ["perf", "script", "-i", str(data), "-F", "pid,ip,sym,dso"]
    shares = share_out(subprocess.run(script, check=True, capture_output=True, text=True).stdout)
    data.unlink()
    figures = [Figure("CPU", "s", [made.cpu]), Figure("wall", "s", [made.wall])]
    figures += [Figure(f"CPU: {what}", "s", [made.cpu * share]) for what, share in shares.items()]
    note = (
        f"Hashing, the tokenizer's conversion (openvino_tokenizers, a process beside) and the imports take {_sum(shares):.0%} of "
        "the CPU's time, whatever the weights become; so a multiple of 3 of the disk's floor is out of reach on one core. "
        "perf itself adds a little."
    )
    return Result(
        name,
        f"{source.name}, int4 at ratio 1.0: where the time goes",
        f"python -m benchmarks {name}",
        "",
        figures,
        [note],
    )


def share_out(samples: str) -> dict[str, float]:
    """Return the share of each kind of work in the lines of `perf script -F pid,ip,sym,dso`, the largest first."""
    found = [match for line in samples.splitlines() if (match := _SAMPLE.match(_without_address(line)))]
    converting = {match["pid"] for match in found if "_kernels" in match["file"]}
    counted = Counter(_kind(match, converting) for match in found)
    return {what: count / len(found) for what, count in counted.most_common()}


def _without_address(line: str) -> str:
    return re.sub(r"^(\s*\d+)\s+[0-9a-f]+\s", r"\1 ", line)


def _kind(sample: re.Match[str], converting: set[str]) -> str:
    if sample["pid"] not in converting:
        return TOKENIZER
    if _HASH.search(sample["symbol"]) or "libcrypto" in sample["file"]:
        return HASHING
    if "_kernels" in sample["file"]:
        return QUANTIZING
    return KERNEL if "kernel" in sample["file"] else REST


def _sum(shares: dict[str, float]) -> float:
    return sum(shares.get(what, 0.0) for what in (HASHING, TOKENIZER, REST))
