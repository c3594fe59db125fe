"""Files of torch.save are looked through: tensors are found where torch put them, and nothing else gets past."""

import io
import os
import pickle
import pickletools
import subprocess
import sys
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any

import pytest
import torch

from edgeconv.core import torch_zip
from edgeconv.core.errors import CheckpointError


def saved(content: Any, **options: Any) -> bytes:
    buffer = io.BytesIO()
    torch.save(content, buffer, **options)
    return buffer.getvalue()


def read(data: bytes) -> list[torch_zip.StoredTensor]:
    return torch_zip.read(io.BytesIO(data), "x.bin")


def zipped(program: bytes, *, compression: int = zipfile.ZIP_STORED, **members: bytes) -> bytes:
    """A file whose pickle is `program`, with one storage of four float32 numbers."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        for name, content in {"data.pkl": program, "data/0": bytes(16), **members}.items():
            archive.writestr(f"archive/{name}", content)
    return buffer.getvalue()


def program(pickled: bytes) -> str:
    return "\n".join(opcode.name for opcode, _, _ in pickletools.genops(pickled))


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_bytes_are_found_where_torch_put_them(protocol: int) -> None:
    base = torch.randn(100)
    content = OrderedDict(
        half=torch.randn(3, 5).half(),
        brain=torch.randn(2, 3, 4).bfloat16(),
        whole=base,
        part=base[10:40].view(5, 6),
        scalar=torch.tensor(2.5, dtype=torch.float64),
        long=torch.arange(7),
        none=torch.empty(0, 3),
    )
    data = saved(content, pickle_protocol=protocol)
    found = {tensor.name: tensor for tensor in read(data)}
    assert list(found) == list(content)
    for name, tensor in content.items():
        stored = data[found[name].start :][: found[name].size]
        assert stored == tensor.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes(), name
        assert found[name].shape == tuple(tensor.shape)
    assert [tensor.dtype for tensor in found.values()] == ["F16", "BF16", "F32", "F32", "F64", "I64", "F32"]


def test_state_of_a_module_is_a_plain_dictionary() -> None:
    module = torch.nn.Sequential(torch.nn.Linear(4, 4), torch.nn.LayerNorm(4))
    assert {tensor.name for tensor in read(saved(module.state_dict()))} == set(module.state_dict())


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ({"a": torch.nn.Parameter(torch.ones(2))}, r"torch\._utils\._rebuild_parameter"),
        (torch.nn.Linear(2, 2), r"torch\.nn\.modules\.linear\.Linear"),
        ({"a": os.system}, r"posix\.system"),
        ({"a": eval}, r"builtin.*\.eval"),
        ({"model": {"a": torch.ones(2)}}, "the entry 'model'"),
        ({"a": 1}, "the entry 'a'"),
        ({"a": [torch.ones(2)]}, "EMPTY_LIST"),
        ({1: torch.ones(2)}, "names and values"),
        (torch.ones(2), "not a dictionary"),
        ({"a": torch.ones(4, 3).T}, "not contiguous"),
        ({"a": torch.ones(3).expand(2, 3)}, "not contiguous"),
        ({"a": torch.ones(3).to_sparse()}, "_rebuild_sparse_tensor"),
        ({"a": torch.ones(3, dtype=torch.complex64)}, "ComplexFloatStorage"),
    ],
)
def test_anything_else_is_refused_by_name(content: Any, says: str) -> None:
    with pytest.raises(CheckpointError, match=says) as caught:
        read(saved(content))
    assert caught.value.hint


def test_no_program_is_run(tmp_path: Path) -> None:
    """Each of these makes a file when it is unpickled; none may."""
    mark = tmp_path / "ran"

    class Runs:
        def __reduce__(self) -> Any:
            return os.system, (f"touch {mark}",)

    programs = [pickle.dumps({"a": Runs()}, protocol) for protocol in range(6)]
    programs.append(b"(S'touch " + str(mark).encode() + b"'\nios\nsystem\n.")
    for pickled in programs:
        with pytest.raises(CheckpointError, match="holds more than tensors"):
            read(zipped(pickled))
        assert not mark.exists(), program(pickled)
    unpickled = subprocess.run([sys.executable, "-c", f"import pickle; pickle.loads({programs[2]!r})"], check=True)
    assert unpickled.returncode == 0 and mark.exists()  # the test can fail


def test_a_tree_of_references_takes_no_time() -> None:
    """Sixty doublings: whoever hashes, compares or prints the tuple never comes back."""
    doubled = b"".join(b"q%c(h%ch%ct" % (i, i, i) for i in range(60))
    for end in (b".", b"R.", b"Q.", b"}(h\x3bK\x01u.", b"h\x3b\x93."):
        with pytest.raises(CheckpointError):
            read(zipped(b"\x80\x02)" + doubled + b"q\x3b" + end))


def test_damage_is_refused() -> None:
    data = saved({"a": torch.randn(1000)})
    cases = {
        "not a whole file": data[: len(data) // 2],
        "form before torch 1.6": saved({"a": torch.ones(2)}, _use_new_zipfile_serialization=False),
        "not one of torch.save": zipped(b"").replace(b"data.pkl", b"data.pkx"),
        "not a whole file of torch.save: File": b"<html>",
    }
    for says, content in cases.items():
        with pytest.raises(CheckpointError, match=says):
            read(content)


def tensor_program(*, count: int = 4, offset: int = 0, shape: str = "K\x04\x85", strides: str = "K\x01\x85") -> bytes:
    reference = f"(X\x07\0\0\0storagectorch\nFloatStorage\nX\x01\0\0\x000X\x03\0\0\0cpuK{chr(count)}tQ"
    built = f"ctorch._utils\n_rebuild_tensor_v2\n({reference}K{chr(offset)}{shape}{strides}\x89ccollections\nOrderedDict\n)RtR"
    return b"\x80\x02" + f"}}X\x01\0\0\0a{built}s.".encode("latin-1")


def test_the_hand_made_program_is_sound() -> None:
    (tensor,) = read(zipped(tensor_program()))
    assert (tensor.name, tensor.shape, tensor.size) == ("a", (4,), 16)


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (zipped(tensor_program(count=5)), "missing or has another size"),
        (zipped(tensor_program(offset=1)), "beyond its storage"),
        (zipped(tensor_program(shape="K\x02\x85", strides="K\x02\x85")), "not contiguous"),
        (zipped(tensor_program(shape="K\x02K\x02\x86")), "damaged"),
        (zipped(tensor_program(), compression=zipfile.ZIP_DEFLATED), "compressed"),
        (zipped(tensor_program(), byteorder=b"big"), "big-endian"),
        (zipped(tensor_program()[:-4]), "damaged"),
    ],
)
def test_tensors_that_do_not_fit_their_bytes(data: bytes, says: str) -> None:
    with pytest.raises(CheckpointError, match=says):
        read(data)


def test_a_member_twice() -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive, pytest.warns(UserWarning, match="Duplicate"):
        for _ in range(2):
            archive.writestr("archive/data.pkl", tensor_program())
    with pytest.raises(CheckpointError, match="twice"):
        read(buffer.getvalue())
