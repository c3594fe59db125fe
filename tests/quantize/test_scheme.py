from __future__ import annotations

import inspect

import pytest

from edgeconv.convert.families.glm import GLM_EDGE_INT4
from edgeconv.core.errors import UsageError
from edgeconv.quantize import scheme as s
from edgeconv.quantize.scheme import Request, resolve, resolve_vision


def test_glm_edge_takes_its_makers_choice() -> None:
    made = resolve(Request("int4"), GLM_EDGE_INT4, "glm")
    assert (made.mode, made.group_size, made.ratio, made.backup) == ("int4_sym", 128, 0.8, "int8_asym")
    assert made.chosen_by == "glm"


def test_what_the_user_says_wins_over_the_makers() -> None:
    made = resolve(Request("int4", group_size=64, ratio=1.0, sym=False), GLM_EDGE_INT4, "glm")
    assert (made.mode, made.group_size, made.ratio) == ("int4_asym", 64, 1.0)


def test_a_precision_that_names_its_kind_is_not_the_makers_int4() -> None:
    assert resolve(Request("int4_sym"), GLM_EDGE_INT4, "glm").ratio == 1.0


def test_others_take_nncfs_defaults() -> None:
    import nncf
    from nncf.quantization.algorithms.weight_compression.algorithm import get_weight_compression_configuration

    for name in ("int4_asym", "int4_sym", "nf4", "fp4", "mxfp4", "nvfp4", "cb4", "fp8_e4m3", "mxfp8_e4m3", "int3_sym"):
        made = resolve(Request(name))
        theirs = get_weight_compression_configuration(nncf.CompressWeightsMode(name))
        assert (made.group_size, made.ratio, made.backup) == (
            theirs["group_size"], theirs["ratio"], theirs["backup_mode"].value,
        ), name  # fmt: skip


def test_every_precision_is_one_of_nncf() -> None:
    import nncf

    modes = {mode.value for mode in nncf.CompressWeightsMode}
    assert {resolve(Request(p)).mode for p in s.PRECISIONS} - set(s.FLOAT_PRECISIONS) <= modes
    assert modes - {resolve(Request(p)).mode for p in s.PRECISIONS} == {"codebook", "adaptive_codebook"}
    assert {mode.value for mode in nncf.BackupMode} == set(s.BACKUPS)
    assert nncf.AdvancedCompressionParameters().min_adjusted_group_size == s.MIN_ADJUSTED_GROUP


REFUSED = [
    Request("int9"),
    Request("bf16", group_size=64),
    Request("fp16", sym=True),
    Request("int8", ratio=0.8),
    Request("int8", group_size=64),
    Request("int8_sym", backup_precision="int8_sym"),
    Request("int8", all_layers=True),
    Request("int4", ratio=1.5),
    Request("int4", ratio=-0.1),
    Request("int4", group_size=0),
    Request("int4", group_size=-2),
    Request("mxfp4", group_size=64),
    Request("nvfp4", group_size=32),
    Request("mxfp4", group_size_fallback="adjust"),
    Request("int4_sym", sym=False),
    Request("nf4", sym=True),
    Request("int4", backup_precision="int2"),
    Request("int4", group_size_fallback="maybe"),
]


@pytest.mark.parametrize("request_", REFUSED, ids=repr)
def test_what_nncf_refuses_is_refused_before(request_: Request) -> None:
    with pytest.raises(UsageError) as caught:
        resolve(request_)
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(
    "request_", [r for r in REFUSED if r.precision in ("int8", "mxfp4", "nvfp4", "int4")], ids=repr
)
def test_nncf_refuses_them_indeed(request_: Request) -> None:
    """Our rules are not stricter than theirs, but for names that no NNCF option could carry."""
    import nncf
    from nncf.quantization.algorithms.weight_compression import algorithm
    from nncf.quantization.algorithms.weight_compression.config import WeightCompressionConfig

    if request_.backup_precision == "int2" or request_.group_size_fallback == "maybe":
        pytest.skip("not expressible in NNCF's types")
    mode = nncf.CompressWeightsMode(
        {"int8": "int8_asym", "int4": "int4_asym"}.get(request_.precision, request_.precision)
    )
    names = set(inspect.signature(algorithm.check_user_compression_configuration).parameters)
    options = dict.fromkeys(names) | {"mode": mode, "subset_size": 128}
    options |= {"ratio": request_.ratio, "group_size": request_.group_size, "all_layers": request_.all_layers}
    if request_.group_size_fallback:
        fallback = nncf.GroupSizeFallbackMode(request_.group_size_fallback)
        options["advanced_parameters"] = nncf.AdvancedCompressionParameters(group_size_fallback_mode=fallback)
    with pytest.raises((nncf.ValidationError, nncf.ParameterNotSupportedError)):
        algorithm.check_user_compression_configuration(**options)
        WeightCompressionConfig(mode, request_.group_size if request_.group_size is not None else -1)


@pytest.mark.parametrize(
    ("asked", "language", "mode", "by"),
    [
        (None, "int4", "fp16", "glm_edge_v"),
        (None, "int8", "fp16", "glm_edge_v"),
        (None, "bf16", "bf16", "user"),
        (None, "fp32", "fp32", "user"),
        ("int8", "int4", "int8_asym", "user"),
        ("bf16", "int4", "bf16", "user"),
        ("int8", "fp32", "int8_asym", "user"),
    ],
)
def test_the_half_that_sees_follows_a_floating_language_half(
    asked: str | None, language: str, mode: str, by: str
) -> None:
    made = resolve_vision(asked, resolve(Request(language)), "glm_edge_v")
    assert (made.mode, made.chosen_by) == (mode, by)


def test_a_vision_precision_of_four_bits_is_refused() -> None:
    with pytest.raises(UsageError, match="int4") as caught:
        resolve_vision("int4", resolve(Request("int4")), "glm_edge_v")
    assert "fp16, int8, bf16, fp32" in caught.value.hint
