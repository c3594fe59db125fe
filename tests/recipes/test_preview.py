"""`edgeconv run --dry-run`: what it tells, and what it must not do."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from edgeconv.builtin import model_path
from edgeconv.convert.conversion import cost

from ..cli.conftest import Command
from ..hub.server import HubServer

RECIPE = """\
name: small
source:
  model: org/glm-tiny
targets:
  ir:
    format: openvino
    precision: int4
    budget: {mean_kl: 0.5}
    publish: {repo: org/ir, branch: int4}
  gguf:
    format: gguf
    type: q8_0
    parity: false
  wrong:
    format: openvino
    precision: int8
    rope: fused
    engine: trace
    vision_precision: fp16
    parity: false
"""


@pytest.fixture
def recipe(tmp_path: Path, hub: HubServer) -> Path:
    hub.add_repo("org/glm-tiny", model_path())
    (tmp_path / "r.yaml").write_text(RECIPE)
    return tmp_path / "r.yaml"


def test_a_plan_names_inputs_outputs_and_cost_of_every_unit(
    edgeconv: Command, recipe: Path, hub: HubServer, tmp_path: Path
) -> None:
    run = ("run", recipe, "--output", tmp_path / "out", "--dry-run")
    result = edgeconv(*run, "--json", "--quiet")
    assert result.code == 2
    ir, gguf, wrong = result.data
    assert [plan["unit"] for plan in result.data] == ["small/ir", "small/gguf", "small/wrong"]
    assert ir["inputs"]["options"]["precision"] == "int4"
    assert ir["plan"]["commit"] == hub.repos["org/glm-tiny"].refs["main"]
    shard = (model_path() / "model.safetensors").stat().st_size
    for one in (ir, gguf):
        told = one["plan"]["cost"]
        assert told["fetch"]["bytes"] - told["fetch"]["cached_bytes"] == shard
        assert told["output_bytes"] == told["staging_bytes"] == one["plan"]["output_bytes"] > 1e6
        assert told["memory_bytes"] > 3e7
        assert told["disks"][0]["fits"] is True
        assert one["conflicts"] == []
    (conflict,) = wrong["conflicts"]
    assert (wrong["plan"], conflict["exit_code"]) == (None, 2)
    assert "2 conflicts: 1. --rope fused needs the stream engine. 2. --vision-precision" in conflict["message"]
    text = edgeconv(*run).out
    for part in ("fetch:", "memory:", "disk:", "free in", "org/ir, branch int4", "measured; mean_kl 0.5", "conflict:"):
        assert part in text
    assert not (tmp_path / "out").exists()
    assert all("bytes=" in request.headers.get("range", "") for request in hub.asked("/storage/.*safetensors"))


@pytest.mark.fault(
    "run: too little room for all results together", says="Refused before anything is fetched, with the numbers."
)
def test_room_is_added_up_over_all_units_and_missing_room_stops_a_run_before_it_begins(
    edgeconv: Command, recipe: Path, hub: HubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = ("run", recipe, "--output", tmp_path / "out", "--only", "ir", "--only", "gguf")
    sizes = [plan["plan"]["output_bytes"] for plan in edgeconv(*run, "--dry-run", "--json", "--quiet").data]
    download = (model_path() / "model.safetensors").stat().st_size
    enough = download + sum(sizes) + cost.SPARE

    def fill(free: int) -> None:
        monkeypatch.setattr(cost.shutil, "disk_usage", lambda _: SimpleNamespace(free=free, total=free, used=0))

    fill(enough)
    assert edgeconv(*run, "--dry-run", "--quiet").code == 0
    fill(enough - 1)  # for each alone there would be room
    planned = edgeconv(*run, "--dry-run", "--json", "--quiet")
    assert planned.code == 1
    assert [[c["message"].split(";")[1][:11] for c in plan["conflicts"]] for plan in planned.data] == [
        [],
        [" needed are"],
    ]
    refused = edgeconv(*run, "--quiet")
    assert (refused.code, "needed are" in refused.err) == (1, True)
    assert not (tmp_path / "out").exists()
    assert all("bytes=" in request.headers.get("range", "") for request in hub.asked("/storage/.*safetensors"))


def test_what_is_there_already_costs_nothing_and_what_is_foreign_is_a_conflict(
    edgeconv: Command, recipe: Path, tmp_path: Path
) -> None:
    run = ("run", recipe, "--output", tmp_path / "out", "--only", "gguf")
    assert edgeconv(*run, "--quiet").code == 0
    plan = edgeconv(*run, "--dry-run")
    assert plan.code == 0
    assert "an earlier run made it" in plan.out
    recipe.write_text(RECIPE.replace("q8_0", "q4_0"))
    (other,) = edgeconv(*run, "--dry-run", "--json", "--quiet").data
    assert ["did not make it" in conflict["message"] for conflict in other["conflicts"]] == [True]


def test_local_files_only_asks_the_hub_nothing(edgeconv: Command, recipe: Path, hub: HubServer, tmp_path: Path) -> None:
    run = ("run", recipe, "--only", "gguf", "--quiet", "--json")
    absent = edgeconv(*run, "--output", tmp_path / "a", "--local-files-only")
    assert (absent.code, hub.requests) == (5, [])
    assert edgeconv(*run, "--output", tmp_path / "a").code == 0
    asked = len(hub.requests)
    assert edgeconv(*run, "--output", tmp_path / "b", "--local-files-only").code == 0
    assert len(hub.requests) == asked


@pytest.mark.parametrize("command", ["openvino", "gguf"])
def test_a_dry_run_of_one_conversion_tells_its_cost_and_ends_as_the_run_would(
    command: str, edgeconv: Command, tmp_path: Path
) -> None:
    line = (command, "--model", model_path(), "--output", tmp_path / "out", "--dry-run")
    plan = edgeconv(*line)
    assert plan.code == 0
    for part in ("memory:", "disk:", "free in"):
        assert part in plan.out
    assert "fetch:" not in plan.out  # it lies here
    (tmp_path / "out").mkdir()
    (tmp_path / "out/mine.txt").write_text("x")
    stopped = edgeconv(*line)
    assert (stopped.code, "conflict:" in stopped.out, "is not empty" in stopped.out) == (1, True, True)
    answer = edgeconv(*line, "--json")
    assert (answer.code, answer.data["conflicts"][0]["exit_code"]) == (1, 1)
    assert answer.data["cost"]["memory_bytes"] > 3e7
