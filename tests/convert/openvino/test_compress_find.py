"""The weights that we find beside those that NNCF's own code finds."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgeconv.convert.open_checkpoint import open_checkpoint
from edgeconv.convert.openvino import compress_find, trace_names
from edgeconv.convert.openvino.trace_load import load
from edgeconv.convert.openvino.trace_model import to_openvino
from edgeconv.convert.openvino.trace_quiet import tracing

from ...models.tiny import FAMILIES


def traced(source: Path) -> Any:
    checkpoint = open_checkpoint(source)
    with tracing():
        torch_model = load(checkpoint)
        model = to_openvino(torch_model, compresses=True).clone()
        trace_names.adopt(model, checkpoint, torch_model)
    return model


def nncf_weights(model: Any) -> tuple[dict[str, tuple[tuple[int, ...], str]], list[str]]:
    """What NNCF would compress: name → shape and role; and, in order, what it would give four bits."""
    import nncf
    from nncf.common.factory import build_graph
    from nncf.quantization.algorithms.weight_compression.algorithm import WeightCompression

    algorithm = WeightCompression(
        mode=nncf.CompressWeightsMode.INT4_SYM, ratio=1.0, group_size=-1, ignored_scope=nncf.IgnoredScope(), all_layers=False,
        sensitivity_metric=nncf.SensitivityMetric.WEIGHT_QUANTIZATION_ERROR, awq=False, subset_size=1, scale_estimation=False,
        gptq=False, lora_correction=False, backup_mode=nncf.BackupMode.INT8_ASYM,
    )  # fmt: skip
    graph = build_graph(model)
    algorithm.set_backend_entity(model)
    everything, four_bits, _ = algorithm.get_weight_compression_parameters(model, graph)
    roles = {"EmbeddingOp": "embedding", "MatMulOp": "matmul"}
    return (
        {p.weight_name: (tuple(p.weight_shape), roles[p.node_with_weight.metatype.name]) for p in everything},
        [p.weight_name for p in four_bits],
    )


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("model_type", FAMILIES)
def test_find_what_nncf_finds(model_type: str, tied: bool, tiny_model: Callable[..., Path]) -> None:
    from edgeconv.quantize.assign import ratio_defining
    from edgeconv.quantize.scheme import Request, resolve

    model = traced(tiny_model(model_type, tie_word_embeddings=tied))
    found = compress_find.find(model)
    everything, four_bits = nncf_weights(model)
    assert {f.weight.name: (f.weight.shape, f.weight.role) for f in found} == everything
    scheme = resolve(Request("int4_sym", group_size=-1))
    assert sorted(w.name for w in ratio_defining([f.weight for f in found], scheme)) == sorted(four_bits)
    assert sum(f.weight.is_last for f in found) == 1


def test_products_that_make_angles_are_no_weights() -> None:
    """Cohere repeats each frequency in place: NNCF does not know that form, and would compress the frequencies."""
    import openvino as ov
    from openvino import opset13 as ops

    positions = ops.parameter([-1, 1, -1], np.float32)
    frequencies = ops.constant(np.ones((1, 32, 1), np.float32), name="frequencies")
    product = ops.matmul(frequencies, positions, False, False, name="product")
    turned = ops.unsqueeze(ops.transpose(product, ops.constant([0, 2, 1])), ops.constant([3]))
    angles = ops.reshape(ops.tile(turned, ops.constant([1, 1, 1, 2])), ops.constant([0, 0, 64]), True)
    model = ov.Model([ops.cos(angles), ops.sin(angles)], [positions])
    assert compress_find.find(model) == []
    assert compress_find.rope_products(model) == ["product"]


@pytest.mark.parametrize(
    ("shape", "transposed"), [((48, 64), False), ((3, 64, 48), True)], ids=["columns first", "three dimensions"]
)
def test_other_layouts_are_left_to_nncf(shape: tuple[int, ...], transposed: bool) -> None:
    import openvino as ov
    from openvino import opset13 as ops

    x = ops.parameter([-1, -1, 48], np.float32)
    weight = ops.constant(np.ones(shape, np.float32), name="w")
    model = ov.Model([ops.matmul(x, weight, False, transposed)], [x])
    with pytest.raises(compress_find.NotOurs, match=r"^w is "):
        compress_find.find(model)
    assert [f.weight.shape for f in compress_find.find(model, matrices=False)] == [shape]
