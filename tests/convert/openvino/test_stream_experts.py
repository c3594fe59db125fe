"""Experts in an IR: their constants are NNCF's, the CPU plugin computes only the chosen ones, and memory stays flat."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edgeconv.convert import conversion
from edgeconv.convert.families import decoder
from edgeconv.convert.open_checkpoint import open_checkpoint
from edgeconv.quantize.scheme import Request

from ...ir import constants

# A family for each form of matrices in a checkpoint and of graph, and the products with stacks that its graph has a layer.
FAMILIES = {"qwen3_moe": 3, "mixtral": 3, "granitemoe": 3, "gpt_oss": 2}
SCHEMES = {
    "int8_asym": Request("int8"),
    "int8_sym": Request("int8", sym=True),
    "int4_asym": Request("int4", group_size=32),
    "int4_sym": Request("int4", group_size=32, sym=True),
    "int4_rows": Request("int4", group_size=-1),
    "int4_half": Request("int4", group_size=32, ratio=0.5),
}


def converted(source: Path, out: Path, request: Request, **options: Any) -> Path:
    return conversion.run(conversion.Job(str(source), request, output=out, **options)).path / "openvino_model.xml"


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("scheme", SCHEMES)
def test_constants_are_nncfs(family: str, scheme: str, tiny_model: Callable[..., Path], tmp_path: Path) -> None:
    source, request_ = tiny_model(family), SCHEMES[scheme]
    ours, theirs = (
        {name: held for name, held in constants(path).items() if not re.search(r"\.(gate|router|layer)\.weight", name)}
        for path in (
            converted(source, tmp_path / "ours", request_),
            converted(source, tmp_path / "theirs", request_, compressor="nncf"),
        )
    )
    assert ours == theirs  # but for the routers, which NNCF is told to leave alone
    assert any("experts" in name and len(shape) > 2 for name, (_, shape, _) in ours.items())


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("precision", ["fp32", "bf16", "int8", "int4"])
def test_the_runtime_computes_the_chosen_ones_alone(
    family: str, precision: str, tiny_model: Callable[..., Path], tmp_path: Path
) -> None:
    import openvino as ov

    source = tiny_model(family)
    compiled = ov.Core().compile_model(converted(source, tmp_path / "out", Request(precision)), "CPU")
    kinds = Counter(node.get_rt_info()["layerType"].astype(str) for node in compiled.get_runtime_model().get_ops())
    layers = sum(one is not None for one in decoder(open_checkpoint(source).config).experts)
    assert kinds["GatherMatmul"] == FAMILIES[family] * layers
