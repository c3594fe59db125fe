from __future__ import annotations

from typing import Any

import pytest

from edgeconv.core.errors import UsageError
from edgeconv.quantize.device import LARGE, TARGETS, complete
from edgeconv.quantize.scheme import Request, Scheme, resolve

GLM_EDGE = {"sym": True, "group_size": 128, "ratio": 0.8}


def scheme(parameters: int = 10**6, **options: Any) -> Scheme:
    request = Request(**({"precision": "int4"} | options))
    return resolve(complete(request, parameters), GLM_EDGE, "glm")


def test_the_npu_gets_what_its_guide_exports() -> None:
    small, large = scheme(target="npu"), scheme(LARGE, target="npu")
    assert (small.mode, small.group_size, small.ratio, small.target) == ("int4_sym", 128, 1.0, "npu")
    assert (large.mode, large.group_size, large.ratio) == ("int4_sym", -1, 1.0)
    assert small.backup == "int8_asym"
    assert large.describe().endswith(", for NPU")
    assert scheme(target="npu", precision="int8").mode == "int8_sym"


def test_what_the_user_says_within_the_limits_stays() -> None:
    assert scheme(target="npu", group_size=-1).group_size == -1
    assert scheme(LARGE, target="npu", group_size=128).group_size == 128
    assert scheme(target="npu", gptq=True, calibration="suite").gptq
    assert scheme(target="gpu", group_size=32, sym=False).mode == "int4_asym"


@pytest.mark.parametrize("target", ["cpu", "gpu"])
def test_the_others_leave_the_makers_choice(target: str) -> None:
    made = scheme(target=target)
    assert (made.mode, made.group_size, made.ratio, made.chosen_by) == ("int4_sym", 128, 0.8, "glm")


def test_no_target_changes_nothing() -> None:
    request = Request("int4", group_size=7)
    assert complete(request, 5) is request
    assert "target" not in scheme().as_dict()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"target": "npu", "precision": "int4_asym"}, "--precision int4_asym contradicts --target npu"),
        ({"target": "npu", "precision": "mxfp4"}, "--precision mxfp4 contradicts"),
        ({"target": "npu", "sym": False}, "--asym contradicts"),
        ({"target": "npu", "group_size": 64}, "--group-size 64 contradicts"),
        ({"target": "npu", "ratio": 0.8}, "--ratio 0.8 contradicts"),
        ({"target": "npu", "group_size_fallback": "adjust"}, "--group-size-fallback adjust contradicts"),
        ({"target": "gpu", "precision": "mxfp4"}, "--precision mxfp4 contradicts --target gpu"),
        ({"target": "gpu", "group_size": 48}, "--group-size 48 contradicts"),
        ({"target": "tpu"}, "Unknown target 'tpu'"),
    ],
)
def test_a_contradiction_is_an_error_with_a_way_out(options: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError) as caught:
        scheme(**options)
    assert said in caught.value.message
    assert caught.value.hint


def test_every_target_has_rules_or_none() -> None:
    for target in TARGETS:
        assert scheme(target=target).target == target
