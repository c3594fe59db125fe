"""Rules for single weights: what they say, what they refuse, and what becomes of the weights."""

from __future__ import annotations

import pytest

from edgeconv.core.errors import UsageError
from edgeconv.quantize.assign import Assignment, Weight, assign, check_groups, ratio_defining
from edgeconv.quantize.device import complete
from edgeconv.quantize.scheme import Request, Scheme, resolve
from edgeconv.quantize.tensor_precision import Rule, parse, require_found

TABLE = Weight("table", (100, 64), "embedding")
LAYERS = [Weight(f"layer{i}.proj", (64, 64), "matmul") for i in range(4)]
HEAD = Weight("head", (100, 64), "matmul", is_last=True)
ALL = [TABLE, *LAYERS, HEAD]


def scheme(*rules: str, precision: str = "int4_sym", **options: object) -> Scheme:
    return resolve(Request(precision, group_size=32, tensor_precision=rules, **options))  # type: ignore[arg-type]


def test_the_first_rule_that_is_found_decides() -> None:
    table = assign(ALL, scheme("layer[01]=int8_sym", "layer1=none", "table=int4:64", "layer3=none"))
    assert table == {
        "table": Assignment("int4_asym", 64),
        "layer0.proj": Assignment("int8_sym"),
        "layer1.proj": Assignment("int8_sym"),
        "layer2.proj": Assignment("int4_sym", 32),
        "layer3.proj": Assignment(None),
        "head": Assignment("int8_asym"),
    }


def test_a_ratio_is_shared_out_among_the_others() -> None:
    said = scheme("layer0=int8_asym", ratio=0.7)
    assert ratio_defining(ALL, said) == LAYERS[1:]
    table = assign(ALL, said, lambda weight: float(weight.name[5]))
    assert [name for name, given in table.items() if given.mode == "int4_sym"] == ["layer2.proj", "layer3.proj"]


def test_four_bits_in_the_midst_of_eight() -> None:
    said = resolve(Request("int8", tensor_precision=("layer2=int4_sym:64",)))
    assert assign(ALL, said)["layer2.proj"] == Assignment("int4_sym", 64)
    assert assign(ALL, said)["layer1.proj"] == Assignment("int8_asym")


def test_a_group_that_does_not_divide_gives_way() -> None:
    weights = [TABLE, Weight("wide", (8, 96), "matmul"), Weight("odd", (8, 80), "matmul"), HEAD]
    said = scheme("wide=int4_sym:128", "odd=int4_sym:128")
    assert check_groups(weights, said) == [
        "wide gets groups of 32, for 128 does not divide its rows",
        "odd gets int8_asym, for 128 does not divide its rows",
    ]
    assert assign(weights, said)["wide"] == Assignment("int4_sym", 32)
    assert assign(weights, said)["odd"] == Assignment("int8_asym")


def test_it_is_told_and_comes_back_from_a_manifest() -> None:
    said = scheme("layer0=int8_asym")
    assert "1 rule for single weights" in said.describe()
    assert assign(ALL, Scheme(**said.as_dict())) == assign(ALL, said)
    assert "tensor_precision" not in scheme().as_dict()


@pytest.mark.parametrize(
    "text", ["", "=int8", "mlp", "mlp=", "mlp=q4_k", "(=int8", "mlp=int8:64", "mlp=int4:", "mlp=int4:0", "mlp=int4:6x"]
)
def test_what_is_no_rule(text: str) -> None:
    with pytest.raises(UsageError, match="--tensor-precision"):
        scheme(text)


def test_an_expression_may_hold_equal_signs() -> None:
    rule = parse("(?=mlp)=int4:-1")
    assert (rule.pattern, rule.mode, rule.group_size) == ("(?=mlp)", "int4_asym", -1)
    assert isinstance(rule, Rule)


@pytest.mark.parametrize(
    "request_",
    [
        Request("nf4", tensor_precision=("a=int8",)),
        Request("int4", backup_precision="fp8_e4m3", tensor_precision=("a=int8",)),
        Request("int4", calibration="suite", gptq=True, tensor_precision=("a=int8",)),
        Request("bf16", tensor_precision=("a=int8",)),
    ],
)
def test_what_only_nncf_makes_takes_no_rules(request_: Request) -> None:
    with pytest.raises(UsageError, match="--tensor-precision"):
        resolve(request_)


def test_a_target_that_wants_all_alike_takes_none() -> None:
    with pytest.raises(UsageError, match="--tensor-precision a=int8 contradicts --target npu"):
        complete(Request("int4", target="npu", tensor_precision=("a=int8",)), 1)
    assert complete(Request("int4", target="npu"), 1).ratio == 1
    with pytest.raises(UsageError, match="--target gpu, which takes groups"):
        complete(Request("int4", target="gpu", tensor_precision=("a=int4:16",)), 1)


def test_a_rule_that_finds_nothing_is_an_error() -> None:
    require_found(["model.a", "model.b"], ["a$=int8"])
    with pytest.raises(UsageError, match="found in no weight"):
        require_found(["model.a", "model.b"], ["a$=int8", "c=int8"])
