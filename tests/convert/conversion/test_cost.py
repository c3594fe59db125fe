"""What a plan says a run costs, held against what the run costs."""

from __future__ import annotations

import contextlib
import json
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from edgeconv.convert import conversion
from edgeconv.convert.conversion import GgufJob, Job, cost
from edgeconv.convert.gguf.recipe import recipe
from edgeconv.core.errors import OutputError, UsageError
from edgeconv.quantize.scheme import Request

from ...hub import conftest as of_the_hub
from ...hub.server import HubServer

hub = of_the_hub.hub


@pytest.fixture
def full_disk(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Makes every file system have so many bytes free."""

    def fill(free: int) -> None:
        monkeypatch.setattr(cost.shutil, "disk_usage", lambda _: SimpleNamespace(free=free, total=free, used=0))

    return fill


def written(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize("precision", ["int4", "int8"])
def test_the_size_of_an_ir_is_within_one_percent(precision: str, builtin_model: Path, tmp_path: Path) -> None:
    job = Job(str(builtin_model), Request(precision), output=tmp_path / "out")
    planned = conversion.plan(job)
    made = conversion.run(job)
    assert planned.output_bytes == pytest.approx(written(made.path), rel=0.01)
    assert made.plan.as_dict()["output_bytes"] == planned.output_bytes


@pytest.mark.parametrize("kind", ["q4_k_m", "q8_0"])
def test_the_size_of_a_gguf_is_exact(kind: str, builtin_model: Path, tmp_path: Path) -> None:
    job = GgufJob(str(builtin_model), recipe(kind), output=tmp_path / "out")
    planned = conversion.plan(job)
    made = conversion.run(job)
    assert planned.output_bytes == sum(file.size for file in made.manifest.outputs.values())
    assert planned.output_bytes == pytest.approx(written(made.path), rel=0.01)


def test_what_is_to_be_fetched_and_what_is_there_already(hub: HubServer, builtin_model: Path, tmp_path: Path) -> None:
    hub.add_repo("org/name", builtin_model)
    job = Job("org/name", Request("int8"), output=tmp_path / "out")
    shard = (builtin_model / "model.safetensors").stat().st_size
    first = conversion.plan(job)
    assert first.cost is not None and first.cost.pending is not None
    pending = first.cost.pending
    assert pending.missing_bytes == shard  # a plan itself brings the small files
    assert pending.files == pending.cached_files + 1
    assert first.commit == hub.repos["org/name"].refs["main"]
    needs = {what: count for disk in first.cost.disks for what, count in disk.needs.items()}
    assert needs == {"for the download": shard, "for the output, staged beside it": first.output_bytes}
    assert "1 of" not in dict(first.rows())["fetch"]
    conversion.run(job)
    after = conversion.plan(Job("org/name", Request("int8"), output=tmp_path / "other"))
    assert after.cost is not None and after.cost.pending is not None
    assert after.cost.pending.missing_bytes == 0
    assert after.as_dict()["cost"]["fetch"]["cached_bytes"] == pending.bytes


@pytest.mark.fault(
    "disk: too little room for the download and the result", says="Refused before the download, with the numbers."
)
def test_a_disk_that_is_too_small_is_a_conflict_of_the_plan_and_stops_a_run_before_it_fetches(
    hub: HubServer, builtin_model: Path, tmp_path: Path, full_disk: Callable[[int], None]
) -> None:
    hub.add_repo("org/name", builtin_model)
    full_disk(cost.SPARE + 1_000_000)
    job = Job("org/name", Request("int8"), output=tmp_path / "out")
    planned = conversion.plan(job)
    (conflict,) = planned.conflicts
    for part in ("for the download", "for the output", "free; needed are 8"):
        assert part in conflict.message
    assert planned.rows()[-1][0] == "conflict"
    for start in (
        lambda: conversion.run(job),
        lambda: conversion.run(GgufJob("org/name", recipe("q8_0"), output=job.output)),
    ):
        with pytest.raises(OutputError, match="needed are"):
            start()
    assert all("bytes=" in request.headers.get("range", "") for request in hub.asked(r"/storage/.*safetensors"))
    assert not (tmp_path / "out").exists()


def test_one_file_system_is_counted_once_and_two_apart(tmp_path: Path) -> None:
    needs = [cost.Need("a", tmp_path / "not" / "there", 3), cost.Need("b", tmp_path, 4), cost.Need("a", tmp_path, 5)]
    (disk,) = cost.disks(needs)
    assert (dict(disk.needs), disk.needed) == ({"a": 8, "b": 4}, 12 + cost.SPARE)
    assert disk.fits == (shutil.disk_usage(tmp_path).free >= disk.needed)


def test_every_conflict_of_the_options_is_told_at_once(builtin_model: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out/mine.txt").write_text("x")
    wrong = Job(
        str(builtin_model), Request("int8", ratio=0.5), engine="trace", rope="fused", vision_precision="fp16",
        layout="genai", output=tmp_path / "out",
    )  # fmt: skip
    with pytest.raises(UsageError) as caught:
        conversion.plan(wrong)
    for part in ("4 conflicts", "--ratio", "--rope fused", "--vision-precision", "--layout"):
        assert part in caught.value.message
    with pytest.raises(OutputError, match="not empty"):
        conversion.run(wrong)  # a run stops at the first
    planned = conversion.plan(Job(str(builtin_model), Request("int8"), output=tmp_path / "out"))
    assert ["is not empty" in conflict.message for conflict in planned.conflicts] == [True]


def test_what_is_already_known_to_be_wrong_costs_no_download(
    hub: HubServer, builtin_model: Path, tmp_path: Path
) -> None:
    hub.add_repo("org/name", builtin_model)
    with pytest.raises(UsageError, match="does not divide"):
        conversion.run(Job("org/name", Request("int4", group_size=77), output=tmp_path / "out"))
    assert all("bytes=" in request.headers.get("range", "") for request in hub.asked(r"/storage/.*safetensors"))


def test_memory_grows_with_what_is_in_flight_and_with_the_engine(builtin_model: Path, tmp_path: Path) -> None:
    def memory(precision: str, **options: str) -> int:
        planned = conversion.plan(Job(str(builtin_model), Request(precision), output=tmp_path / "x", **options))  # type: ignore[arg-type]
        assert planned.cost
        return planned.cost.memory_bytes

    assert memory("bf16") < memory("int8") < memory("fp32") < memory("int8", compressor="nncf")
    assert memory("int8", compressor="nncf") < memory("int8", engine="trace")
    small = conversion.plan(GgufJob(str(builtin_model), recipe("q8_0"), output=tmp_path / "x")).cost
    assert small and small.memory_bytes < memory("bf16")


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["openvino", "gguf"])
def test_the_memory_that_a_whole_command_takes(kind: str, builtin_model: Path, tmp_path: Path) -> None:
    line = [sys.executable, "-m", "edgeconv", kind, "--model", str(builtin_model), "--output", str(tmp_path / "out")]
    told = subprocess.run([*line, "--dry-run", "--json"], capture_output=True, check=True)
    predicted = json.loads(told.stdout)["cost"]["memory_bytes"]
    assert peak_anonymous(line) == pytest.approx(predicted, rel=0.35)  # other machines have other allocators


def peak_anonymous(line: list[str]) -> int:
    """Run a command; return the peak of the memory of all its processes that no file backs, sampled every 5 ms."""
    peak = 0
    process = subprocess.Popen(line, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while process.poll() is None:
        peak = max(peak, anonymous(process.pid, b""))
        time.sleep(0.005)
    assert process.returncode == 0
    return peak


def anonymous(pid: int, above: bytes) -> int:
    """Add up a tree of processes; one that was forked and runs nothing of its own yet shares its parent's memory."""
    own = 0
    with contextlib.suppress(OSError):  # it has just ended
        line = Path(f"/proc/{pid}/cmdline").read_bytes()
        if line != above:
            found = re.search(r"RssAnon:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())
            own = int(found[1]) * 1024 if found else 0
        for task in Path(f"/proc/{pid}/task").iterdir():
            own += sum(anonymous(int(child), line) for child in (task / "children").read_text().split())
    return own
