"""Every constant of a traced graph that holds a tensor, or a part of one, is called by it, and is written."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgeconv.convert.derived import closest
from edgeconv.convert.open_checkpoint import open_checkpoint
from edgeconv.convert.openvino import trace, trace_names
from edgeconv.core.progress import Silent
from edgeconv.quantize.scheme import Request, resolve
from edgeconv.validate.loaded_names import as_loaded
from edgeconv.validate.weights.openvino_find import find

FAMILIES = ("stablelm", "starcoder2", "granitemoe", "granitemoehybrid", "qwen3_moe", "phimoe", "gpt_oss", "gemma3_text")


def read(folder: Path) -> Any:
    import openvino as ov

    return ov.Core().read_model(folder / "openvino_model.xml")


@pytest.mark.parametrize("family", FAMILIES)
def test_names_are_those_of_the_values(family: str, tiny_model: Callable[..., Path], tmp_path: Path) -> None:
    checkpoint = open_checkpoint(tiny_model(family))
    trace.export(checkpoint, resolve(Request("bf16")), tmp_path, progress=Silent())
    loaded = as_loaded(checkpoint)
    left = loaded.names - ({"lm_head.weight"} if checkpoint.config["tie_word_embeddings"] else set())
    for stored in find(read(tmp_path)):
        name = stored.name.split("#")[0]
        if name in loaded.names:
            found = closest(stored.whole(), {name: loaded.tensor(name)}, 0.01)
            assert found, f"{stored.name} does not hold {name}"
            left.discard(name)
    assert left == set()


def graph(name: str) -> tuple[Any, Any]:
    """A product with a matrix that no tensor of a checkpoint claims, under the name of a node that OpenVINO numbers."""
    import openvino as ov
    from openvino import opset13 as ops

    values = np.random.default_rng(0).standard_normal((256, 256)).astype(np.float32)
    given = ops.parameter([1, 256], np.float32, name="given")
    weight = ops.constant(values, name=name)
    return ov.Model([ops.matmul(given, weight, False, True)], [given], "m"), values


@pytest.mark.parametrize("name", ["Transpose_54264", "Constant_0", "Constant_7", "matrix"])
@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_a_constant_that_no_tensor_claims_is_written(name: str, precision: str, tmp_path: Path) -> None:
    model, values = graph(name)
    trace.write(
        model, {}, resolve(Request(precision)), tmp_path, generates=False, compressor="auto", release=lambda _: None,
        progress=Silent(),
    )  # fmt: skip
    (stored,) = [one for one in find(read(tmp_path)) if one.size == values.size]
    assert np.abs(stored.whole() - values).max() < 0.05


def test_a_lost_name_is_not_written_as_zeros(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def renames(model: Any, keep: Any = ()) -> None:
        for node in model.get_ordered_ops():
            if node.get_friendly_name() == "matrix":
                node.set_friendly_name("other")

    model, _ = graph("matrix")
    plain = trace_names.normalize
    monkeypatch.setattr(trace_names, "normalize", lambda *given: renames(*given) if len(given) == 2 else plain(*given))
    with pytest.raises(AssertionError, match="would hold zeros"):
        trace.write(
            model, {}, resolve(Request("bf16")), tmp_path, generates=False, compressor="auto", release=lambda _: None,
            progress=Silent(),
        )  # fmt: skip
