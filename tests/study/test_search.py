"""A search meets budgets that were made for it, says so where there is nothing, and its recipe is one."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from edgeconv.convert.gguf import mix
from edgeconv.convert.gguf.describe import describe
from edgeconv.convert.gguf.layout import facts
from edgeconv.convert.gguf.recipe import recipe
from edgeconv.convert.open_checkpoint import open_checkpoint
from edgeconv.core.errors import UsageError
from edgeconv.quantize.assign import Weight, assign
from edgeconv.quantize.scheme import Request, resolve
from edgeconv.recipes.load import load
from edgeconv.recipes.unit import units
from edgeconv.study.points import Point
from edgeconv.study.search import run as search
from edgeconv.study.search import weights as search_weights
from edgeconv.study.search.gguf import options
from edgeconv.study.search.run import SearchJob
from edgeconv.study.search.space import Guess, Learned
from edgeconv.study.search.spaces import Searched
from edgeconv.study.trial import Bench, Trial
from edgeconv.validate.report.model import Estimate


class Ladder:
    """A space of made-up ways of 10, 20 … 100 MB, whose sums fall from 0.5 to 0.05 and are wrong by a factor."""

    dense = True

    def __init__(self) -> None:
        self.ways = [
            Guess(Point("gguf", {"type": "q4_0", "output_type": f"{i}"}), i * 10**7, 0.05 * (11 - i))
            for i in range(1, 11)
        ]

    def smallest_within(self, max_kl: float, learned: Learned) -> list[Guess]:
        return [way for way in self.ways if way.raw <= learned.limit("plain", max_kl)]

    def best_within(self, max_bytes: int, learned: Learned) -> list[Guess]:
        return [way for way in reversed(self.ways) if way.bytes <= max_bytes]

    def finest(self) -> Guess:
        return self.ways[-1]

    def smallest(self) -> Guess:
        return self.ways[0]


@pytest.fixture
def wrong_by(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, float]:
    """What a measurement is, over the sum; the sizes are as predicted."""
    factor, space = {"is": 1.0}, Ladder()

    def measure(_: Bench, point: Point) -> Trial:
        way = next(way for way in space.ways if way.point.options == point.options)
        return Trial(point, way.bytes, 4.5, Estimate(value=way.raw * factor["is"]), Estimate(value=0.9))

    monkeypatch.setattr(Bench, "run", measure)
    monkeypatch.setitem(search.SPACES, "gguf", Searched(lambda *_: space))
    monkeypatch.setenv("EDGECONV_CACHE", str(tmp_path / "cache"))
    return factor


@pytest.mark.parametrize(("factor", "megabytes", "most"), [(1.0, 80, 2), (2.0, 100, 3), (0.5, 50, 3), (0.75, 70, 3)])
def test_a_kl_is_met_by_the_smallest_that_meets_it(
    factor: float, megabytes: int, most: int, wrong_by: dict[str, float], tiny_model: Callable[..., Path]
) -> None:
    wrong_by["is"] = factor
    found = search.run(SearchJob(str(tiny_model("llama")), max_kl=0.16, tokens=256))
    assert found.winner is not None
    winner = found.trials[found.winner]
    assert winner.bytes == megabytes * 10**6
    assert winner.judged_kl <= 0.16
    assert len(found.trials) <= most
    assert found.recipe is not None
    assert found.recipe["targets"]["gguf"]["budget"]["mean_kl"] == 0.16


def test_what_cannot_be_met(wrong_by: dict[str, float], tiny_model: Callable[..., Path]) -> None:
    model = str(tiny_model("llama"))
    found = search.run(SearchJob(model, max_kl=0.01, tokens=256))
    assert (found.winner, found.recipe) == (None, None)
    assert found.nearest is not None
    assert found.trials[found.nearest].bytes == 10**8
    assert "nearest" in found.reason
    found = search.run(SearchJob(model, max_bytes=9_000_000, tokens=256))
    assert (found.winner, found.nearest) == (None, 0)
    assert found.trials[0].bytes == 10**7
    found = search.run(SearchJob(model, max_bytes=75_000_000, tokens=256))
    assert found.winner is not None
    assert found.trials[found.winner].bytes == 7 * 10**7


def test_rules_say_what_was_chosen(tiny_model: Callable[..., Path]) -> None:
    """The rules, read as a conversion reads them, give every tensor the type that was chosen."""
    model = describe(open_checkpoint(tiny_model("llama", num_hidden_layers=12)).config)
    kinds = ("q5_0", "q8_0", "iq4_nl")
    matrices = [tensor for tensor in model.tensors if mix.quantizable(tensor)]
    types = {tensor.name: kinds[i * 7 % 11 % 3] for i, tensor in enumerate(matrices)}
    said: dict[str, Any] = options(types)
    rules = tuple(tuple(rule.rpartition("=")[::2]) for rule in said.pop("tensor_type"))
    made = mix.assign(
        [(tensor, "bf16") for tensor in model.tensors],
        facts(model),
        recipe(said.pop("type"), tensor_types=rules, **said),
    )
    assert {name: made.types[name].name for name in types} == types


def test_rules_for_single_weights_say_what_was_chosen() -> None:
    weights = [Weight("table", (100, 128), "embedding"), Weight("head", (100, 128), "matmul", is_last=True)]
    weights[1:1] = [Weight(f"model.layers.{i}.{n}.weight", (64, 128), "matmul") for i in range(12) for n in "ab"]
    kinds = ("int4_sym:64", "int8_asym", "int4_asym:32")
    chosen = {weight.name: kinds[i * 7 % 11 % 3] for i, weight in enumerate(weights)}
    said = search_weights.options(weights, chosen)
    table = assign(weights, resolve(Request(**{**said, "tensor_precision": tuple(said["tensor_precision"])})))
    assert {name: f"{one.mode}:{one.group_size}".removesuffix(":-1") for name, one in table.items()} == chosen
    assert len(said["tensor_precision"]) <= 6
    assert "tensor_precision" not in search_weights.options(weights, dict.fromkeys(chosen, "int8_asym"))


@pytest.mark.slow
def test_an_ir_weight_by_weight(
    tiny_model: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where no scheme is so small, weights are chosen one by one; the recipe makes what was measured."""
    monkeypatch.setenv("EDGECONV_CACHE", str(tmp_path / "cache"))
    model = tiny_model("llama")
    found = search.run(SearchJob(str(model), max_kl=0.02, tokens=256, trials=3, format="openvino"))
    chosen = [trial for trial in found.trials if "tensor_precision" in trial.options]
    assert chosen
    for trial in chosen:
        assert trial.bytes == pytest.approx(trial.expected_bytes, rel=0.01)
        assert 0.4 < trial.summed_kl / trial.mean_kl.value < 2.5
    assert found.recipe is not None
    (tmp_path / "found.yaml").write_text(yaml.safe_dump(found.recipe))
    (unit,) = units(load(tmp_path / "found.yaml"), tmp_path / "found.yaml", tmp_path)
    assert unit.job.request.tensor_precision == tuple(
        found.trials[found.winner or 0].options.get("tensor_precision", ())
    )


@pytest.mark.slow
def test_onnx_weight_by_weight(
    tiny_model: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Made and measured in onnxruntime; the recipe makes what was measured."""
    monkeypatch.setenv("EDGECONV_CACHE", str(tmp_path / "cache"))
    model = tiny_model("llama")
    found = search.run(SearchJob(str(model), max_kl=0.02, tokens=256, trials=2, format="onnx"))
    assert any("tensor_precision" in trial.options for trial in found.trials)
    for trial in found.trials:
        assert trial.bytes == pytest.approx(trial.expected_bytes, rel=0.01)
        assert 0.4 < trial.summed_kl / trial.mean_kl.value < 2.5
    assert found.recipe is not None
    (tmp_path / "found.yaml").write_text(yaml.safe_dump(found.recipe))
    (unit,) = units(load(tmp_path / "found.yaml"), tmp_path / "found.yaml", tmp_path)
    winner = found.trials[found.winner or 0]
    assert unit.job == replace(Point("onnx", winner.options).job(str(model.resolve()), unit.output), keeps_digests=True)


def test_on_a_model(tiny_model: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """For real: sizes are exact, and a KL is met that lies between those of the ends. The recipe is one that `run` takes."""
    monkeypatch.setenv("EDGECONV_CACHE", str(tmp_path / "cache"))
    model = tiny_model("llama")
    found = search.run(SearchJob(str(model), max_kl=0.05, tokens=256, trials=3))
    assert found.winner is not None
    winner = found.trials[found.winner]
    assert winner.judged_kl <= 0.05
    assert winner.mean_kl.high == winner.judged_kl > winner.mean_kl.value
    for trial in found.trials:
        assert trial.bytes == trial.expected_bytes
        assert 0.5 < trial.summed_kl / trial.mean_kl.value < 2  # additive to first order
    assert len({rule.rpartition("=")[2] for rule in winner.options["tensor_type"]}) > 1
    (tmp_path / "found.yaml").write_text(yaml.safe_dump(found.recipe))
    (unit,) = units(load(tmp_path / "found.yaml"), tmp_path / "found.yaml", tmp_path)
    assert unit.job == replace(Point("gguf", winner.options).job(str(model.resolve()), unit.output), keeps_digests=True)


@pytest.mark.parametrize(
    "given", [{}, {"max_kl": 0.1, "max_bytes": 10}, {"max_kl": -1.0}, {"max_kl": 1.0, "calibration": "suite"}]
)
def test_refusals(given: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        search.run(SearchJob("model", **given))
