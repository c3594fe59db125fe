"""Importance matrices in both of llama-imatrix's forms."""

import struct

import gguf
import numpy as np
import pytest

from edgeconv.convert.gguf.imatrix import read
from edgeconv.core.errors import ArtifactError

SUMS = {"blk.0.attn_q.weight": np.array([2, 4, 0], np.float32), "output.weight": np.array([9, 3], np.float32)}
COUNTS = {"blk.0.attn_q.weight": [4.0], "output.weight": [0.0]}


def write_gguf(path, sums=SUMS, counts=COUNTS, *, chunks=3, datasets=("wiki.txt",), arch="imatrix"):
    """As llama-imatrix does (`tools/imatrix/imatrix.cpp`): sums [experts, cols], counts [experts, 1]."""
    writer = gguf.GGUFWriter(path, arch)
    writer.add_type("imatrix")
    writer.add_array("imatrix.datasets", list(datasets))
    if chunks is not None:
        writer.add_uint32("imatrix.chunk_count", chunks)
        writer.add_uint32("imatrix.chunk_size", 512)
    for name, values in sums.items():
        writer.add_tensor(f"{name}.in_sum2", np.atleast_2d(values))
    for name, values in counts.items():
        writer.add_tensor(f"{name}.counts", np.array(values, np.float32).reshape(-1, 1))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def write_legacy(path, entries, tail=b""):
    data = struct.pack("<i", len(entries))
    for name, (calls, values) in entries.items():
        data += struct.pack("<i", len(name)) + name.encode() + struct.pack("<ii", calls, len(values))
        data += np.array(values, "<f4").tobytes()
    path.write_bytes(data + tail)
    return path


def test_sums_are_divided_by_counts(tmp_path):
    found = read(write_gguf(tmp_path / "a.gguf"))
    assert {name: values.tolist() for name, values in found.importance.items()} == {
        "blk.0.attn_q.weight": [0.5, 1.0, 0.0],
        "output.weight": [1.0, 1.0],  # no text reached it
    }
    assert all(values.dtype == np.float32 for values in found.importance.values())
    assert (found.chunks, found.dataset) == (3, "wiki.txt")
    assert found.describe() == "a.gguf (2 tensors, 3 chunks of wiki.txt)"


def test_each_expert_has_its_own_count(tmp_path):
    sums = {"blk.0.ffn_up_exps.weight": np.array([[2, 4], [3, 9], [5, 7]], np.float32)}
    counts = {"blk.0.ffn_up_exps.weight": [2, 3, 0]}
    found = read(write_gguf(tmp_path / "a.gguf", sums, counts)).importance["blk.0.ffn_up_exps.weight"]
    assert found.tolist() == [1, 2, 1, 3, 1, 1]


def test_what_the_result_says_of_it(tmp_path):
    (tmp_path / "calibration").mkdir()
    found = read(write_gguf(tmp_path / "calibration" / "a.gguf", datasets=["w" * 200, "other"])).keys()
    assert {name: value.content for name, value in found.items()} == {
        "quantize.imatrix.file": "a.gguf",
        "quantize.imatrix.dataset": "w" * 127,
        "quantize.imatrix.entries_count": 2,
        "quantize.imatrix.chunks_count": 3,
    }


def test_the_older_form(tmp_path):
    entries = {"output.weight": (4, [2.0, 8.0]), "blk.0.attn_q.weight": (0, [3.0])}
    found = read(write_legacy(tmp_path / "a.dat", entries, struct.pack("<ii", 7, 4) + b"text"))
    assert {name: values.tolist() for name, values in found.importance.items()} == {
        "output.weight": [0.5, 2.0],
        "blk.0.attn_q.weight": [3.0],
    }
    assert (found.chunks, found.dataset) == (7, "text")
    bare = read(write_legacy(tmp_path / "b.dat", entries))
    assert (bare.chunks, bare.dataset) == (0, None)
    said = bare.keys()
    assert list(said) == ["quantize.imatrix.file", "quantize.imatrix.entries_count"]


@pytest.mark.parametrize("cut", range(1, 42))
def test_an_older_file_cut_off_is_refused(cut, tmp_path):
    whole = write_legacy(tmp_path / "a.dat", {"output.weight": (4, [2.0, 8.0])}).read_bytes()
    (tmp_path / "b.dat").write_bytes(whole[: max(0, len(whole) - cut)])
    with pytest.raises(ArtifactError, match="importance matrix"):
        read(tmp_path / "b.dat")


@pytest.mark.parametrize("data", [b"", b"\xff" * 40, struct.pack("<iii", 1, 2**31 - 1, 0) + bytes(40), b"text file"])
def test_other_files_are_refused(data, tmp_path):
    (tmp_path / "a.dat").write_bytes(data)
    with pytest.raises(ArtifactError, match="importance matrix"):
        read(tmp_path / "a.dat")


def test_a_gguf_of_something_else_is_refused(tmp_path):
    with pytest.raises(ArtifactError, match="not an importance matrix"):
        read(write_gguf(tmp_path / "a.gguf", {}, {}))
    with pytest.raises(ArtifactError, match="not an importance matrix"):
        read(write_gguf(tmp_path / "b.gguf", chunks=None))
    with pytest.raises(ArtifactError, match="There is no file"):
        read(tmp_path / "absent")


@pytest.mark.parametrize(
    "counts", [{}, {"blk.0.attn_q.weight": [4.0]}, {**COUNTS, "output.weight": [1.0, 2.0]}, {**COUNTS, "c": [1.0]}]
)
def test_sums_without_their_counts_are_refused(counts, tmp_path):
    with pytest.raises(ArtifactError, match="do not belong together"):
        read(write_gguf(tmp_path / "a.gguf", counts=counts))
