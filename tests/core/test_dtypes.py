"""The table of floating-point types beside the libraries whose names it holds."""

import gguf
import numpy as np
import onnx
import openvino
import pytest
import torch
from safetensors.torch import _TYPES

from edgeconv.core.dtypes import BY_ELEMENT, BY_NUMPY, BY_PRECISION, BY_STORED, FLOATS, NAMED, Float, element_of
from edgeconv.quantize.modes import FLOAT_PRECISIONS, bits_of


@pytest.mark.parametrize("kind", FLOATS, ids=lambda kind: kind.element)
def test_every_library_has_the_type_under_its_name(kind: Float) -> None:
    own = getattr(torch, kind.torch)
    assert _TYPES[kind.stored] is own
    assert own.itemsize * 8 == kind.bits == np.dtype(kind.numpy).itemsize * 8 == bits_of(kind.precision)
    assert getattr(openvino.Type, kind.element).bitwidth == kind.bits
    assert onnx.helper.tensor_dtype_to_string(getattr(onnx.TensorProto, kind.onnx)).endswith(kind.onnx)
    assert gguf.GGML_QUANT_SIZES[gguf.GGMLQuantizationType[kind.element.upper()]] == (1, kind.bits // 8)


def test_each_name_stands_for_one_type() -> None:
    for table in (BY_ELEMENT, BY_STORED, BY_PRECISION, BY_NUMPY):
        assert set(table.values()) == set(FLOATS)
    assert set(BY_PRECISION) == set(FLOAT_PRECISIONS)
    assert all(name in NAMED for name in BY_STORED)
    assert element_of("BF16") == "bf16"
    assert element_of("I8") is None
