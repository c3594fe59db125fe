"""What goes with what: the same as in NNCF, said before a weight is read."""

from __future__ import annotations

import inspect
from typing import Any

import pytest

from edgeconv.core.errors import UsageError
from edgeconv.quantize import data_aware
from edgeconv.quantize.scheme import Request, resolve


def request(precision: str = "int4", **options: Any) -> Request:
    return Request(precision, **options)


THEIRS = [
    request("int8", awq=True),
    request("int8_sym", gptq=True, calibration="suite"),
    request("int8", sensitivity_metric="max_activation_variance"),
    request(gptq=True),
    request(scale_estimation=True),
    request(lora_correction=True),
    request(ratio=0.5, sensitivity_metric="hessian_input_activation"),
    request("mxfp4", awq=True),
    request("fp4", gptq=True, calibration="suite"),
    request("nvfp4", scale_estimation=True, calibration="suite"),
    request("fp8_e4m3", lora_correction=True, calibration="suite"),
    request(gptq=True, lora_correction=True, calibration="suite"),
    request(gptq=True, calibration="suite", num_samples=0),
]
OURS = [
    request("bf16", awq=True),
    request("cb4", lora_correction=True, calibration="suite"),  # NNCF refuses it in the middle of the work
    request(calibration="suite"),
    request(calibration="suite", ratio=0.5, sensitivity_metric="weight_quantization_error"),
    request(calibration="suite", gptq=True, sensitivity_metric="max_activation_variance"),
    request(num_samples=5, awq=True),
    request(calibration="suite", ratio=0.5, sensitivity_metric="gut_feeling"),
]


@pytest.mark.parametrize("asked", THEIRS + OURS, ids=repr)
def test_it_is_refused(asked: Request) -> None:
    with pytest.raises(UsageError) as caught:
        resolve(asked)
    assert "--" in caught.value.message or "sensitivity metric" in caught.value.message
    assert caught.value.hint


@pytest.mark.parametrize("asked", THEIRS, ids=repr)
def test_nncf_refuses_it_indeed(asked: Request) -> None:
    import nncf
    import openvino as ov
    from openvino import opset13

    node = opset13.parameter([1], ov.Type.f32)
    model = ov.Model([opset13.result(node)], [node], "model")
    mode = {"int4": "int4_asym", "int8": "int8_asym"}.get(asked.precision, asked.precision)
    options: dict[str, Any] = {name: getattr(asked, name) for name in (*data_aware.METHODS, "ratio")}
    if asked.sensitivity_metric:
        options["sensitivity_metric"] = nncf.SensitivityMetric(asked.sensitivity_metric)
    if asked.num_samples is not None:
        options["subset_size"] = asked.num_samples
    data = nncf.Dataset([{}]) if asked.calibration else None
    with pytest.raises((nncf.ValidationError, nncf.ParameterNotSupportedError)):
        nncf.compress_weights(model, mode=nncf.CompressWeightsMode(mode), dataset=data, **options)


def test_the_names_are_nncfs() -> None:
    import nncf

    assert set(data_aware.METRICS) == {metric.value for metric in nncf.SensitivityMetric}
    parameters = inspect.signature(nncf.compress_weights).parameters
    assert {*data_aware.METHODS, "sensitivity_metric"} <= set(parameters)
    assert parameters["subset_size"].default == data_aware.NUM_SAMPLES


def test_a_text_lets_a_ratio_choose_as_nncf_does() -> None:
    from nncf.quantization.algorithms.weight_compression.algorithm import get_weight_compression_configuration

    made = resolve(request(calibration="texts/mine.txt", ratio=0.5))
    theirs = get_weight_compression_configuration(dataset=object(), ratio=0.5)["sensitivity_metric"]
    assert (made.sensitivity_metric, made.calibration, made.num_samples) == (theirs.value, "mine.txt", 128)
    assert made.data_aware
    assert not made.exact


def test_a_scheme_without_any_of_it_is_written_as_before() -> None:
    assert set(resolve(Request("int4")).as_dict()) == {
        "precision", "mode", "group_size", "group_size_fallback", "ratio", "backup", "all_layers", "chosen_by",
    }  # fmt: skip
    made = resolve(request(awq=True, gptq=True, calibration="suite", num_samples=9))
    assert made.as_dict()["awq"] is made.as_dict()["gptq"] is True
    assert "lora_correction" not in made.as_dict()
    assert made.describe().endswith(", AWQ and GPTQ on 9 samples of suite")
    assert not made.data_free.data_aware
    assert resolve(request(awq=True)).describe().endswith(", AWQ without data")
