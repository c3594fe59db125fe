from __future__ import annotations

import pytest

from edgeconv.core.errors import UsageError
from edgeconv.quantize.assign import Assignment, Weight, adjusted_group, assign, check_groups, ratio_defining
from edgeconv.quantize.device import complete
from edgeconv.quantize.scheme import Request, resolve

TABLE = Weight("table", (100, 64), "embedding")
LAYERS = [Weight(f"layer{i}", (64, 64), "matmul") for i in range(5)]
HEAD = Weight("head", (100, 64), "matmul", is_last=True)
UNTIED = [TABLE, *LAYERS, HEAD]
TIED = [Weight("table", (100, 64), "embedding", is_last=True), *LAYERS]


def test_embedding_and_last_layer_keep_the_backup_precision() -> None:
    table = assign(UNTIED, resolve(Request("int4_sym", group_size=32)))
    assert table["table"] == table["head"] == Assignment("int8_asym")
    assert all(table[w.name] == Assignment("int4_sym", 32) for w in LAYERS)


def test_a_shared_head_costs_no_other_layer_its_place() -> None:
    assert ratio_defining(TIED, resolve(Request("int4"))) == LAYERS
    assert ratio_defining(UNTIED, resolve(Request("int4"))) == LAYERS


def test_ratio_gives_four_bits_to_the_weights_that_int8_serves_worst() -> None:
    errors = {w.name: e for w, e in zip(LAYERS, (5.0, 1.0, 4.0, 2.0, 3.0), strict=True)}
    table = assign(UNTIED, resolve(Request("int4", group_size=32, ratio=0.7)), lambda w: errors[w.name])
    assert {n for n, a in table.items() if a.mode == "int4_asym"} == {"layer0", "layer2", "layer4"}


def test_ratio_is_never_reached_from_above() -> None:
    """NNCF breaks off before the share would reach the ratio, even when it would hit it exactly."""
    table = assign(UNTIED, resolve(Request("int4", group_size=32, ratio=0.6)), lambda w: float(w.name[-1]))
    assert sum(a.mode == "int4_asym" for a in table.values()) == 2


def test_a_named_group_that_does_not_divide_is_refused_with_those_that_do() -> None:
    weights = [TABLE, Weight("a", (8, 576), "matmul"), Weight("b", (8, 1536), "matmul"), HEAD]
    with pytest.raises(UsageError) as caught:
        check_groups(weights, resolve(Request("int4", group_size=128)))
    assert "576" in caught.value.message
    assert "16, 32, 48, 64, 96, 144, 192, 288, 576, -1" in (caught.value.hint or "")


def test_the_default_group_adjusts_and_says_so() -> None:
    weights = [TABLE, Weight("a", (8, 576), "matmul"), Weight("b", (8, 1536), "matmul"), HEAD]
    scheme = resolve(Request("int4"))
    assert check_groups(weights, scheme) == ["1 weights with rows of 576, which 128 does not divide, get groups of 64"]
    table = assign(weights, scheme)
    assert table["a"].group_size == 64
    assert table["b"].group_size == 128


def test_rows_that_no_group_of_32_divides_get_the_backup() -> None:
    weights = [TABLE, Weight("a", (8, 80), "matmul"), HEAD]
    assert assign(weights, resolve(Request("int4")))["a"] == Assignment("int8_asym")
    assert adjusted_group(80) is None
    ignoring = resolve(Request("int4", group_size=128, group_size_fallback="ignore"))
    assert assign(weights, ignoring)["a"] == Assignment(None)


def test_backup_none_leaves_the_rest_uncompressed() -> None:
    table = assign(UNTIED, resolve(Request("int4", group_size=32, backup_precision="none")))
    assert table["table"] == table["head"] == Assignment(None)


def test_all_layers() -> None:
    table = assign(UNTIED, resolve(Request("int4", group_size=32, all_layers=True)))
    assert set(table.values()) == {Assignment("int4_asym", 32)}


ROWS_OF_96 = [
    Weight("table", (100, 96), "embedding"),
    Weight("a", (8, 96), "matmul"),
    Weight("head", (100, 96), "matmul", is_last=True),
]


@pytest.mark.parametrize("precision", ["fp8_e4m3", "fp4"])
def test_a_backup_in_groups_that_do_not_divide_is_refused_before_nncf_does(precision: str) -> None:
    with pytest.raises(UsageError, match="do not divide their rows of 96") as caught:
        check_groups(ROWS_OF_96, resolve(Request(precision)))
    assert "16, 32, 48, 96, -1" in (caught.value.hint or "")
    for way_out in ({"group_size": 32}, {"backup_precision": "int8_asym"}):
        check_groups(ROWS_OF_96, resolve(Request(precision, **way_out)))


def test_the_npu_is_offered_no_groups_that_it_does_not_take() -> None:
    scheme = resolve(complete(Request("int4", target="npu"), 1))
    with pytest.raises(UsageError) as caught:
        check_groups(ROWS_OF_96, scheme)
    assert caught.value.hint == "--target npu takes no others: --group-size -1, or --group-size-fallback ignore."
    for way_out in ({"group_size": -1}, {"group_size_fallback": "ignore"}):
        check_groups(ROWS_OF_96, resolve(complete(Request("int4", target="npu", **way_out), 1)))


def test_groups_of_weights_that_a_ratio_of_0_leaves_out_are_not_spoken_of() -> None:
    assert check_groups(ROWS_OF_96, resolve(Request("int4", ratio=0.0))) == []
