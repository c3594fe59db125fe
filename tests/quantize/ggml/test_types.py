"""Our table of types against the gguf package's."""

import gguf
import pytest

from edgeconv.quantize.ggml.types import TYPES, find


@pytest.mark.parametrize("name", list(TYPES))
def test_numbers_and_sizes(name: str) -> None:
    kind = find(name.upper())
    number = gguf.GGMLQuantizationType[name.upper()]
    assert (kind.number, (kind.block, kind.bytes)) == (number.value, gguf.GGML_QUANT_SIZES[number])
    assert kind.row_bytes(kind.block * 3) == kind.bytes * 3
    assert kind.quantized == (name not in {"f32", "f16", "bf16"})
