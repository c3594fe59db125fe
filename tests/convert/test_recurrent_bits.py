"""Weights of recurrent layers get no fewer than eight bits, in any format, unless they are named; and a plan says which do."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from edgeconv.convert import conversion
from edgeconv.quantize.assign import Weight, assign, check_groups
from edgeconv.quantize.request import Request
from edgeconv.quantize.scheme import resolve

INT4 = {"int4_asym", "int4_sym", "q4_k", "q5_0", "q4_0"}
KEPT, ASKED = "weights of recurrent layers get int8_asym", "get fewer than eight bits, as asked for"
WEIGHTS = [
    Weight("a", (64, 64), "matmul", delicate=True),
    Weight("b", (64, 64), "matmul"),
    Weight("head", (64, 64), "matmul", is_last=True),
]


def modes(*rules: str, precision: str = "int4", group_size: int = 64) -> dict[str, str | None]:
    scheme = resolve(Request(precision, group_size=group_size, tensor_precision=rules))
    return {name: one.mode for name, one in assign(WEIGHTS, scheme).items()}


def test_it_gets_the_backup_precision() -> None:
    assert modes() == {"a": "int8_asym", "b": "int4_asym", "head": "int8_asym"}


def test_a_rule_overrides_it_and_is_warned_of() -> None:
    assert modes("^a$=int4_sym")["a"] == "int4_sym"
    scheme = resolve(Request("int4", group_size=64, tensor_precision=("^a$=int4",)))
    assert [note for note in check_groups(WEIGHTS, scheme) if ASKED in note and "(a …)" in note]
    assert not [note for note in check_groups(WEIGHTS, resolve(Request("int4", group_size=64))) if ASKED in note]
    eight = resolve(Request("int4", group_size=64, tensor_precision=("^a$=int8",)))
    assert not [note for note in check_groups(WEIGHTS, eight) if "recurrent" in note]


@pytest.mark.parametrize(("format_", "rule"), [("onnx", ()), ("onnx", ("in_proj_z=int4",))])
def test_of_a_converted_model(
    format_: str, rule: tuple[str, ...], tiny_model: Callable[..., Path], tmp_path: Path
) -> None:
    job = conversion.OnnxJob(
        str(tiny_model("qwen3_5_text")), Request("int4", tensor_precision=rule), output=tmp_path / "out"
    )
    made = conversion.run(job).manifest
    of_layers = {entry.name: entry.precision for entry in made.tensors if ".linear_attn." in entry.name}
    few = {name for name, precision in of_layers.items() if precision in INT4}
    assert {name.split(".")[-2] for name in few} == ({"in_proj_z"} if rule else set())
    assert {entry.precision for entry in made.tensors if ".mlp." in entry.name} == {"int4_asym"}
    assert [note for note in made.notes if (ASKED if rule else KEPT) in note]


@pytest.mark.parametrize("rule", [(), (("attn_gate", "q4_0"),)])
def test_of_a_gguf(rule: tuple[tuple[str, str], ...], tiny_model: Callable[..., Path], tmp_path: Path) -> None:
    from edgeconv.convert.gguf.recipe import Recipe

    job = conversion.GgufJob(
        str(tiny_model("qwen3_5_text")), Recipe("q4_k_m", tensor_types=rule), output=tmp_path / "a.gguf"
    )
    made = conversion.run(job).manifest
    names = ("attn_qkv", "attn_gate", "ssm_alpha", "ssm_beta", "ssm_out")
    found = {entry.name.split(".")[2]: entry.precision for entry in made.tensors if entry.name.split(".")[-2] in names}
    few = {name for name, precision in found.items() if precision in INT4}
    assert few == {name for name, _ in rule}
    assert {entry.precision for entry in made.tensors if "ssm_conv1d" in entry.name} == {"f32"}
    assert bool(rule) == any("a recurrence wants eight bits" in note for note in made.notes)
