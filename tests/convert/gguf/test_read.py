"""Reading any GGUF: what gguf-py reads, splits, and hostile files, which must cost neither time nor memory."""

import shutil
import struct
import tracemalloc

import numpy as np
import pytest
from gguf.quants import dequantize
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeconv.convert.gguf import cursor
from edgeconv.convert.gguf.header import Entry, Kind, array, boolean, f32, i32, pack, string, u16
from edgeconv.convert.gguf.read import open_gguf, parts
from edgeconv.core.errors import ArtifactError
from edgeconv.quantize.ggml.types import TYPES

from .samples import config, keys, tensors, write_checkpoint, write_gguf


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    return write_checkpoint(tmp_path_factory.mktemp("source") / "llama", config(attention_bias=True))


@pytest.fixture(scope="module")
def whole(builtin_model, tmp_path_factory):
    out = tmp_path_factory.mktemp("whole") / "glm.gguf"
    write_gguf(builtin_model, out, "q4_k_m")
    return out


@pytest.fixture
def split(source, tmp_path):
    write_gguf(source, tmp_path / "part.gguf", "q8_0", split_max_size=300_000)
    return sorted(tmp_path.glob("part-*.gguf"))


def test_keys_are_those_that_gguf_py_reads(whole):
    opened, expected = open_gguf(whole), keys(whole)
    assert list(opened.keys) == list(expected)
    for name, value in expected.items():
        found = opened.keys[name]
        assert (found.tolist() if isinstance(found, np.ndarray) else found) == value, name
    assert opened.arch == "chatglm"
    assert opened.own("block_count") == 6
    assert (opened.version, opened.size, opened.files) == (3, whole.stat().st_size, [whole])


def test_tensors_are_those_that_gguf_py_reads(whole):
    opened, expected = open_gguf(whole), tensors(whole)
    assert list(opened.tensors) == list(expected)
    for name, tensor in expected.items():
        info = opened.tensors[name]
        assert info.shape == tuple(int(n) for n in reversed(tensor.shape))
        assert (info.type, info.offset) == (tensor.tensor_type.name.lower(), tensor.data_offset)
        assert (info.bytes, info.size) == (tensor.n_bytes, tensor.n_elements)
        assert np.array_equal(opened.data(name).ravel(), tensor.data.view(np.uint8).ravel())


@pytest.mark.parametrize("kind", ["f32", "f16", "bf16", "q5_1", "q4_k_m", "q3_k_m", "iq4_xs"])
def test_values_of_rows(kind, builtin_model, tmp_path):
    write_gguf(builtin_model, tmp_path / "a.gguf", kind)
    opened, expected = open_gguf(tmp_path / "a.gguf"), tensors(tmp_path / "a.gguf")
    for name in ("token_embd.weight", "blk.2.ffn_down.weight", "blk.0.attn_v.weight", "output_norm.weight"):
        tensor = expected[name]
        values = dequantize(tensor.data, tensor.tensor_type).reshape(-1, opened.tensors[name].cols)
        assert np.array_equal(opened.dequantized(name), values)
        assert np.array_equal(opened.dequantized(name, 3, 20), values[3:20])
        opened.release(name)
        assert np.array_equal(opened.dequantized(name), values)


def test_a_type_without_values(tmp_path):
    (tmp_path / "a.gguf").write_bytes(head(infos=info("a", (4,), kind=26)) + bytes(32))
    opened = open_gguf(tmp_path / "a.gguf")
    assert opened.tensors["a"].type == "i32"
    assert opened.data("a").shape == (1, 16)
    with pytest.raises(ArtifactError, match="stored as i32"):
        opened.dequantized("a")
    with pytest.raises(ArtifactError, match="has no tensor b"):
        opened.data("b")


def test_every_kind_of_value_of_both_versions(tmp_path):
    pairs = {"a": u16(7), "b": i32(-7), "c": f32(0.5), "d": boolean(True), "e": string("日本")}
    arrays = {
        "f": array(Kind.I32, [1, -2]), "g": array(Kind.F32, [0.5]), "h": array(Kind.BOOL, [True, False]),
        "i": array(Kind.STRING, ["x", b"\xe6\x97"]),
    }  # fmt: skip
    data = pack({**pairs, **arrays}, [Entry("t", (2, 3), TYPES["f32"], 0)]) + bytes(24)
    for version in (2, 3):
        (tmp_path / "a.gguf").write_bytes(data[:4] + struct.pack("<I", version) + data[8:])
        opened = open_gguf(tmp_path / "a.gguf")
        assert {name: opened.keys[name] for name in pairs} == {"a": 7, "b": -7, "c": 0.5, "d": True, "e": "日本"}
        assert [opened.keys[name].tolist() for name in "fgh"] == [[1, -2], [0.5], [True, False]]
        texts = opened.keys["i"]
        assert [text.encode("utf-8", "surrogateescape") for text in texts] == [b"x", b"\xe6\x97"]
        assert opened.version == version
        assert opened.dequantized("t").tolist() == [[0, 0, 0], [0, 0, 0]]


def test_any_part_opens_all(split, source, tmp_path):
    write_gguf(source, tmp_path / "whole.gguf", "q8_0")
    expected = open_gguf(tmp_path / "whole.gguf")
    assert len(split) > 2
    assert parts(split[2]) == split
    for path in split:
        opened = open_gguf(path)
        assert (opened.files, opened.path) == (split, split[0])
        assert list(opened.tensors) == list(expected.tensors)
        assert opened.keys["general.architecture"] == "llama"
        assert all(np.array_equal(opened.data(name), expected.data(name)) for name in opened.tensors)


def test_a_missing_part_is_named(split):
    split[1].unlink()
    with pytest.raises(ArtifactError, match=rf"1 of {len(split)} parts are missing: {split[1].name}"):
        open_gguf(split[0])


def test_parts_that_do_not_belong_together(split, source, tmp_path):
    shutil.copy(split[0], tmp_path / "renamed.gguf")
    with pytest.raises(ArtifactError, match="not named as one"):
        open_gguf(tmp_path / "renamed.gguf")
    kept = split[1].read_bytes()
    shutil.copy(split[0], split[1])
    with pytest.raises(ArtifactError, match="says that it is part 0"):
        open_gguf(split[0])
    split[1].write_bytes(kept.replace(b"blk.0.ffn_down.weight", b"blk.0.ffn_xxxx.weight"))
    assert "blk.0.ffn_xxxx.weight" in open_gguf(split[0]).tensors
    promised = struct.pack("<i", len(open_gguf(split[0]).tensors))
    first = split[0].read_bytes()
    at = first.index(b"split.tensors.count") + len(b"split.tensors.count") + 4
    assert first[at : at + 4] == promised
    split[0].write_bytes(first[:at] + struct.pack("<i", 999) + first[at + 4 :])
    with pytest.raises(ArtifactError, match="999 are promised"):
        open_gguf(split[0])


def text(content):
    content = content if isinstance(content, bytes) else content.encode()
    return struct.pack("<Q", len(content)) + content


def pair(key, kind, content):
    return text(key) + struct.pack("<I", kind) + content


def info(name, shape, kind=0, offset=0):
    return text(name) + struct.pack(f"<I{len(shape)}QIQ", len(shape), *reversed(shape), kind, offset)


def head(pairs=b"", infos=b"", *, keys=None, table=None, version=3):
    """A head padded to 32 bytes, with as many keys and tensors as it says unless told to lie."""
    keys = bool(pairs) if keys is None else keys
    table = bool(infos) if table is None else table
    data = b"GGUF" + struct.pack("<IQQ", version, table, keys) + pairs + infos
    return data + bytes(-len(data) % 32)


HOSTILE = {
    "an array of 2^40 numbers": (head(pair("a", 9, struct.pack("<IQ", 4, 1 << 40))), "the array a would take"),
    "an array of 2^62 numbers": (head(pair("a", 9, struct.pack("<IQ", 10, 1 << 62))), "the array a would take"),
    "an array of 2^61 texts": (head(pair("a", 9, struct.pack("<IQ", 8, 1 << 61))), "more than can be"),
    "a text of an array past the end": (
        head(pair("a", 9, struct.pack("<IQQ", 8, 1, 1 << 63))), "longer than the file"),
    "a text of 2^63": (head(pair("a", 8, struct.pack("<Q", 1 << 63))), "the text of a would take"),
    "a key of 2^63": (head(struct.pack("<Q", 1 << 63) + bytes(32), keys=1), "a key would take"),
    "2^60 keys": (head(bytes(64), keys=1 << 60), "more than it can hold"),
    "2^60 tensors": (head(bytes(64), table=1 << 60), "more than it can hold"),
    "an array of arrays": (head(pair("a", 9, struct.pack("<IQ", 9, 1))), "array of the type 9"),
    "an unknown kind of value": (head(pair("a", 99, b"")), "unknown type 99"),
    "a key twice": (head(pair("a", 4, bytes(4)) * 2, keys=2), "the key a appears twice"),
    "an empty key": (head(pair("", 4, bytes(4))), "a key is empty"),
    "a key that is not UTF-8": (head(pair(b"\xff", 4, bytes(4))), "a key is not UTF-8"),
    "a key that moves the cursor": (head(pair("\x1b[2J", 4, bytes(4))), "control characters"),
    "five dimensions": (head(infos=info("a", (1,) * 5)) + bytes(32), "5 dimensions"),
    "2^32 - 1 dimensions": (head(infos=text("a") + b"\xff" * 4 + bytes(64)), "dimensions"),
    "more elements than int64 holds": (head(infos=info("a", (1 << 32, 1 << 32))) + bytes(32), "can be counted"),
    "a product that wraps to 0": (head(infos=info("a", (1 << 62, 4))) + bytes(32), "can be counted"),
    "an empty dimension that hides the others": (head(infos=info("a", (1 << 62, 4, 0))), "can be counted"),
    "a tensor larger than the file": (head(infos=info("a", (1 << 20, 1 << 20))) + bytes(32), "is truncated"),
    "an offset past the end": (head(infos=info("a", (4,), offset=1 << 40)) + bytes(32), "is truncated"),
    "an offset of 2^64 - 32": (head(infos=info("a", (4,), offset=(1 << 64) - 32)) + bytes(32), "is truncated"),
    "an offset that is not aligned": (head(infos=info("a", (4,), offset=4)) + bytes(64), "not a multiple of 32"),
    "rows that are not blocks": (head(infos=info("a", (2, 33), kind=8)) + bytes(256), "blocks of 32"),
    "an unknown type": (head(infos=info("a", (4,), kind=4096)) + bytes(32), "unknown type 4096"),
    "a type of the beginnings": (head(infos=info("a", (4,), kind=4)) + bytes(32), "stored as Q4_2 .*removed"),
    "a type that was removed": (head(infos=info("a", (4,), kind=31)) + bytes(32), "stored as Q4_0_4_4 .*removed"),
    "a fork's type": (head(infos=info("a", (4,), kind=137)) + bytes(32), "ik_llama.cpp"),
    "a type to come": (head(infos=info("a", (4,), kind=95)) + bytes(32), "newer llama.cpp"),
    "two tensors of a name": (head(infos=info("a", (4,)) * 2, table=2) + bytes(64), "two tensors a"),
    "tensors that overlap": (
        head(infos=info("a", (32,)) + info("b", (4,), offset=32), table=2) + bytes(256), "a and b overlap"),
    "a name of 64 bytes": (head(infos=info("n" * 64, (4,))) + bytes(32), "more than 63 bytes"),
    "alignment 3": (head(pair("general.alignment", 4, struct.pack("<I", 3))), "not a power of two"),
    "alignment 0": (head(pair("general.alignment", 4, bytes(4))), "not a power of two"),
    "alignment as a text": (head(pair("general.alignment", 8, text("32"))), "not a power of two"),
    "alignment past the end": (
        head(pair("general.alignment", 4, struct.pack("<I", 1 << 31)), info("a", (4,))) + bytes(64), "is truncated"),
    "version 1": (head(version=1), "version 1"),
    "version 4": (head(version=4), "version 4"),
    "big-endian": (head(version=3 << 24), "big-endian"),
    "another file": (b"PK\x03\x04" + bytes(64), "not a GGUF"),
    "a Git-LFS pointer": (b"version https://git-lfs.github.com/spec/v1\n", "not a GGUF"),
    "an empty file": (b"", "not a GGUF"),
}  # fmt: skip


@pytest.mark.parametrize("fault", HOSTILE)
def test_hostile_files_are_refused_without_cost(fault, tmp_path):
    path = tmp_path / "bad.gguf"
    data, said = HOSTILE[fault]
    path.write_bytes(data)
    open_gguf_types_once()
    tracemalloc.start()
    try:
        with pytest.raises(ArtifactError, match=said) as caught:
            open_gguf(path)
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()
    assert "bad.gguf" in caught.value.message
    assert caught.value.hint


def open_gguf_types_once():
    from edgeconv.convert.gguf.storage import storage

    assert storage(0)  # imports gguf, which is not what is measured


@pytest.mark.parametrize("name", ["x.gguf.part1of2", "x.gguf-split-aa", "x.gguf.001", "x.gguf.part-b", "X.GGUF.part02"])
def test_a_piece_of_a_file_is_told_by_its_name(name, tmp_path):
    cut = head(pair("a", 8, text("b" * 64)))[:60]
    for data in (head(infos=info("a", (1 << 20, 1 << 20))) + bytes(32), cut, bytes(64)):  # first pieces, another
        (tmp_path / name).write_bytes(data)
        with pytest.raises(ArtifactError) as caught:
            open_gguf(tmp_path / name)
        assert "join all pieces" in caught.value.hint


def test_parts_that_were_joined_are_no_model(tmp_path):
    part = head(pair("split.count", 2, struct.pack("<H", 2)), info("a", (32,), kind=0))
    part += bytes(-len(part) % 32) + bytes(128)
    (tmp_path / "x.gguf").write_bytes(part * 2)
    with pytest.raises(ArtifactError, match="not named as one") as caught:
        open_gguf(tmp_path / "x.gguf")
    assert "several of them joined" in caught.value.hint
    (tmp_path / "x.gguf").write_bytes(part)
    with pytest.raises(ArtifactError) as caught:
        open_gguf(tmp_path / "x.gguf")
    assert "joined" not in caught.value.hint


def test_the_same_bytes_without_a_fault_are_read(tmp_path):
    path = tmp_path / "good.gguf"
    pairs = pair("general.alignment", 4, struct.pack("<I", 64))
    data = head(pairs, info("a", (2, 32), kind=8))
    path.write_bytes(data + bytes(-len(data) % 64) + bytes(68))
    assert open_gguf(path).tensors["a"].bytes == 68


def test_a_head_has_a_limit(tmp_path, monkeypatch):
    path = tmp_path / "a.gguf"
    path.write_bytes(head(pair("a", 9, struct.pack("<IQ", 0, 5000) + bytes(5000))))
    assert len(open_gguf(path).keys["a"]) == 5000
    monkeypatch.setattr(cursor, "MAX_HEAD", 4096)
    with pytest.raises(ArtifactError, match="more than a head may have left"):
        open_gguf(path)


def test_texts_have_a_limit(tmp_path, monkeypatch):
    path = tmp_path / "a.gguf"
    texts = struct.pack("<IQ", 8, 100) + bytes(800)
    path.write_bytes(head(pair("a", 9, texts) + pair("b", 9, texts), keys=2))
    assert open_gguf(path).keys["b"] == [""] * 100
    monkeypatch.setattr(cursor, "MAX_STRINGS", 199)
    with pytest.raises(ArtifactError, match="the array b claims 100 texts"):
        open_gguf(path)


SMALL = head(
    pair("general.architecture", 8, text("llama"))
    + pair("a", 9, struct.pack("<IQ", 8, 2) + text("x") + text("yy"))
    + pair("b", 9, struct.pack("<IQ", 4, 3) + bytes(12)),
    info("t", (2, 32), kind=8) + info("u", (8,), offset=96),
    keys=3,
    table=2,
) + bytes(128)


def test_a_file_cut_anywhere_is_refused(tmp_path):
    path = tmp_path / "cut.gguf"
    path.write_bytes(SMALL)
    assert list(open_gguf(path).tensors) == ["t", "u"]
    for length in range(len(SMALL)):
        path.write_bytes(SMALL[:length])
        with pytest.raises(ArtifactError):
            open_gguf(path)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(st.integers(4, len(SMALL) - 129), st.integers(0, 255)), min_size=1, max_size=4))
def test_damage_anywhere_is_refused_or_harmless(tmp_path_factory, changes):
    data = bytearray(SMALL)
    for at, value in changes:
        data[at] = value
    path = tmp_path_factory.getbasetemp() / "damaged.gguf"
    path.write_bytes(data)
    try:
        opened = open_gguf(path)
    except ArtifactError:
        return
    for name, tensor in opened.tensors.items():
        assert opened.data(name).size == tensor.bytes <= len(data)


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(ArtifactError, match="There is no file"):
        open_gguf(tmp_path / "absent.gguf")


def test_keys_of_a_split_file_are_the_first_ones(split):
    assert open_gguf(split[-1]).keys["split.no"] == 0
