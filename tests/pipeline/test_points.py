from pathlib import Path

import pytest

from edgeconv.convert.conversion import GgufJob, Job
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


@pytest.mark.parametrize("text", ["q9_9", "int4:tensor_type=x", "q4_0:ratio=0.5", "q4_0:output_type=q9"])
def test_refusals(text: str) -> None:
    with pytest.raises(UsageError):
        parse(text).job("model", OUT)
