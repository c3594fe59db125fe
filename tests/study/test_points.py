from pathlib import Path

import pytest

from edgeconv.convert.conversion import GgufJob, Job, OnnxJob
from edgeconv.core.errors import UsageError
from edgeconv.quantize.scheme import Request
from edgeconv.study.points import parse

OUT = Path("out")


def test_a_precision_of_openvino() -> None:
    point = parse("int4_sym:group_size=64,ratio=0.8,calibration=suite,awq")
    job = point.job("model", OUT)
    assert isinstance(job, Job)
    assert job.request == Request(
        "int4_sym", group_size=64, group_size_fallback="adjust", ratio=0.8, calibration="suite", awq=True
    )
    assert (point.format, point.label) == ("openvino", "int4_sym g64 r0.8 AWQ")
    assert point.command("model", "OUT") == (
        "edgeconv openvino --model model --precision int4_sym --group-size 64 --ratio 0.8 --calibration suite --awq "
        "--group-size-fallback adjust --output OUT"
    )


def test_a_type_of_gguf() -> None:
    point = parse("Q5_K_M:output_type=q8_0")
    job = point.job("model", OUT)
    assert isinstance(job, GgufJob)
    assert (job.recipe.file_type, job.recipe.output_type) == ("q5_k_m", "q8_0")
    assert point.command("m", "OUT") == "edgeconv gguf --model m --type q5_k_m --output-type q8_0 --output OUT"


def test_a_precision_of_onnx() -> None:
    point = parse("onnx/int4_asym:group_size=64,ratio=0.8,accuracy_level=1")
    job = point.job("model", OUT)
    assert isinstance(job, OnnxJob)
    assert job.request == Request("int4_asym", group_size=64, group_size_fallback="adjust", ratio=0.8)
    assert (job.accuracy_level, point.format, point.label) == (1, "onnx", "int4_asym g64 r0.8 level 1")
    assert point.command("model", "OUT") == (
        "edgeconv onnx --model model --precision int4_asym --group-size 64 --ratio 0.8 --accuracy-level 1 "
        "--group-size-fallback adjust --output OUT"
    )


def test_a_format_may_be_said_of_every_point() -> None:
    assert parse("openvino/int8") == parse("int8")
    assert parse("GGUF/q8_0").target() == parse("q8_0").target()


@pytest.mark.parametrize("text", ["tflite/int8", "onnx/q4_0", "gguf/int8_asym", "onnx/int4:calibration=suite", "/int8"])
def test_refused_formats(text: str) -> None:
    with pytest.raises(UsageError):
        parse(text).job("model", OUT)


@pytest.mark.parametrize("text", ["q9_9", "int4:tensor_type=x", "q4_0:ratio=0.5", "q4_0:output_type=q9"])
def test_refusals(text: str) -> None:
    with pytest.raises(UsageError):
        parse(text).job("model", OUT)
