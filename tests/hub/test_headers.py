import json

import pytest

from edgeconv.core.errors import CheckpointError
from edgeconv.hub.headers import MAX_HEADER_BYTES, read_header

from .conftest import safetensors


def header_of(data: bytes, size: int | None = None) -> tuple[dict[str, object], list[tuple[int, int]]]:
    reads: list[tuple[int, int]] = []

    def read(start: int, count: int) -> bytes:
        reads.append((start, count))
        return data[start : start + count]

    return read_header(read, len(data) if size is None else size, "model.safetensors"), reads


def with_length(length: int, rest: bytes = b"{}") -> bytes:
    return length.to_bytes(8, "little") + rest


def test_one_read_for_a_short_header() -> None:
    header, reads = header_of(safetensors({"w": bytes(1 << 20)}))
    assert header["w"] == {"dtype": "U8", "shape": [1 << 20], "data_offsets": [0, 1 << 20]}
    assert len(reads) == 1


def test_a_second_read_for_a_long_header() -> None:
    tensors = {f"layer.{i}.weight": b"x" for i in range(2000)}
    data = safetensors(tensors)
    header, reads = header_of(data)
    assert set(header) == {"__metadata__", *tensors}
    assert len(reads) == 2
    assert sum(count for _, count in reads) == 8 + int.from_bytes(data[:8], "little")


@pytest.mark.parametrize(
    "data",
    [b"", b"1234567", with_length(3), with_length(1 << 63), with_length(1 << 40), with_length(2, b"{{"),
     with_length(2, b"[]"), with_length(0, b""), with_length(4, b"\xff\xfe\xfd\xfc"),
     with_length(16, b'{"a":1,"a": 2}  '), with_length(200_000, b"[" * 200_000),
     b"version https://git-lfs.github.com/spec/v1\n", b"<!DOCTYPE html><html></html>"],
)  # fmt: skip
def test_lies_and_damage(data: bytes) -> None:
    with pytest.raises(CheckpointError, match=r"model\.safetensors") as caught:
        header_of(data)
    assert caught.value.hint


def test_length_above_the_formats_limit_is_not_read() -> None:
    length = MAX_HEADER_BYTES + 1
    reads: list[int] = []

    def read(start: int, count: int) -> bytes:
        reads.append(count)
        return with_length(length, bytes(count - 8))

    with pytest.raises(CheckpointError, match="claims a header"):
        read_header(read, 1 << 40, "model.safetensors")
    assert sum(reads) < 1 << 20


def test_equals_the_reference_reader(tmp_path) -> None:  # type: ignore[no-untyped-def]
    from safetensors import safe_open

    path = tmp_path / "m.safetensors"
    path.write_bytes(safetensors({"a": b"12345678", "b": b""}))
    header, _ = header_of(path.read_bytes())
    with safe_open(path, "np") as reference:
        assert set(reference.keys()) == set(header) - {"__metadata__"}
        assert reference.metadata() == header["__metadata__"]
        for name in reference.keys():  # noqa: SIM118 - it is not a dict
            assert list(reference.get_slice(name).get_shape()) == header[name]["shape"]  # type: ignore[index]
    assert json.dumps(header)
