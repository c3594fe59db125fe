import gguf
import numpy as np
import pytest

from edgeconv.convert.gguf import header
from edgeconv.convert.gguf.header import Entry, Kind, array, boolean, f32, i32, string, u16, u32
from edgeconv.quantize.ggml.types import TYPES

KEYS = {
    "general.architecture": string("llama"),
    "a.u16": u16(65535),
    "a.u32": u32(2**32 - 1),
    "a.i32": i32(-5),
    "a.f32": f32(1e-3),
    "a.bool": boolean(True),
    "a.text": string("日本語 \x00 \n"),
    "a.empty": string(""),
    "a.strings": array(Kind.STRING, ["", "ä", "b"]),
    "a.i32s": array(Kind.I32, [-1, 2]),
    "a.f32s": array(Kind.F32, np.array([0.5, -1.25])),
    "a.bools": array(Kind.BOOL, [True, False]),
}


def test_gguf_py_reads_every_kind(tmp_path):
    rows = np.arange(12, dtype=np.float32).reshape(4, 3)
    entries = [Entry("m.weight", (4, 3), TYPES["f32"], 0), Entry("v", (5,), TYPES["bf16"], 64)]
    data = header.pad(rows.tobytes()) + header.pad(np.arange(5, dtype=np.uint16).tobytes())
    head = header.pack(KEYS, entries)
    assert len(head) % header.ALIGNMENT == 0
    (tmp_path / "a.gguf").write_bytes(head + data)
    reader = gguf.GGUFReader(tmp_path / "a.gguf")
    read = {name: field.contents() for name, field in reader.fields.items() if not name.startswith("GGUF.")}
    assert list(read) == list(KEYS)
    for name, value in KEYS.items():
        assert read[name] == pytest.approx(list(value.content) if value.array else value.content), name
    assert [tensor.name for tensor in reader.tensors] == ["m.weight", "v"]
    assert reader.data_offset == len(head)
    assert list(reader.tensors[0].shape) == [3, 4]  # fastest first
    assert np.array_equal(reader.tensors[0].data, rows)
    assert reader.tensors[1].tensor_type == gguf.GGMLQuantizationType.BF16


def test_bytes_are_those_of_gguf_py(tmp_path):
    writer = gguf.GGUFWriter(tmp_path / "a.gguf", "llama")
    writer.add_uint32("a.number", 7)
    writer.add_array("a.words", ["x", "yy"])
    writer.add_tensor("t.weight", np.ones((2, 3), np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    ours = {"general.architecture": string("llama"), "a.number": u32(7), "a.words": array(Kind.STRING, ["x", "yy"])}
    head = header.pack(ours, [Entry("t.weight", (2, 3), TYPES["f32"], 0)])
    assert (tmp_path / "a.gguf").read_bytes() == head + header.pad(np.ones(6, np.float32).tobytes())


def test_numbers_of_types_are_those_of_gguf_py():
    for kind in TYPES.values():
        number = gguf.GGMLQuantizationType[kind.name.upper()]
        assert kind.number == number
        assert (kind.block, kind.bytes) == gguf.GGML_QUANT_SIZES[number]
