"""What a file of torch.save holds, found out without torch and without running anything.

The file is a zip whose member `NAME/data.pkl` is a pickle, which `torch_pickle` reads. Values lie in members `NAME/data/KEY`,
uncompressed, and can be mapped. Source: `torch/serialization.py` (`_save`).
"""

from __future__ import annotations

import io
import math
import struct
import zipfile
from dataclasses import dataclass
from typing import BinaryIO

from . import torch_pickle
from .errors import CheckpointError
from .torch_pickle import STORAGES, Foreign, PickledTensor

MAX_PICKLE = 64 << 20
"""Bytes; a hundred thousand tensors need a quarter of it."""
_OLD_MAGIC = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
_OF_ZIPFILE = (
    zipfile.BadZipFile, EOFError, OSError, NotImplementedError, RuntimeError, ValueError, OverflowError, struct.error,
)  # fmt: skip
"""What zipfile raises over damaged files, beside what it promises."""
_SAFE = "Take a revision of the checkpoint with safetensors, or save it as such in a place where you trust the file."
_DAMAGED = "The file is damaged or not whole; download it again."


@dataclass(frozen=True)
class StoredTensor:
    """One tensor: `start` counts bytes from the beginning of the file (0 if that was not asked for), `size` is in bytes."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    start: int
    size: int


def read(file: BinaryIO, where: str, *, locate: bool = True) -> list[StoredTensor]:
    """List the tensors of a file that can be read from any place.

    Args:
        file: of which the directory and the pickle are read, and to locate the storages 30 bytes of each.
        where: its name, for messages.
        locate: find out where the values begin.

    Raises:
        CheckpointError: it is damaged, of the form before torch 1.6, compressed, or holds anything but contiguous tensors.
    """
    file.seek(0)
    if file.read(len(_OLD_MAGIC)) == _OLD_MAGIC:
        raise CheckpointError(
            f"{where} is a pickle in the form before torch 1.6, which cannot be looked through.", _SAFE
        )
    try:
        with zipfile.ZipFile(file) as archive:
            members = _members(archive, where)
            pickle = next((name for name in members if name.endswith("/data.pkl")), None)
            if pickle is None:
                raise CheckpointError(f"{where} is a zip, but not one of torch.save.", _SAFE)
            folder = pickle.removesuffix("data.pkl")
            order = members.get(f"{folder}byteorder")
            if order and (order.file_size > 6 or archive.read(order) != b"little"):
                raise CheckpointError(f"{where} was written on a big-endian machine.", _SAFE)
            found = _tensors(archive.read(pickle), where)
            storages = _Storages(folder, members, file if locate else None, where)
            return [storages.place(name, tensor) for name, tensor in found.items()]
    except _OF_ZIPFILE as error:
        raise CheckpointError(f"{where} is not a whole file of torch.save: {error}.", _DAMAGED) from error


def _members(archive: zipfile.ZipFile, where: str) -> dict[str, zipfile.ZipInfo]:
    infos = archive.infolist()
    members = {info.filename: info for info in infos}
    if len(members) != len(infos):
        raise CheckpointError(f"{where} has a member twice: readers would disagree on what it holds.", _SAFE)
    for info in infos:
        if info.compress_type != zipfile.ZIP_STORED or info.flag_bits & 1:
            raise CheckpointError(f"{where}: {info.filename} is compressed; torch.save writes it plain.", _SAFE)
        if info.filename.endswith(".pkl") and info.file_size > MAX_PICKLE:
            raise CheckpointError(
                f"{where}: {info.filename} has {info.file_size:,} bytes, which no table needs.", _SAFE
            )
    return members


class _Storages:
    """The members that hold values, and where they begin."""

    def __init__(self, folder: str, members: dict[str, zipfile.ZipInfo], file: BinaryIO | None, where: str) -> None:
        self._folder = folder
        self._members = members
        self._file = file
        self._where = where
        self._starts: dict[str, int] = {}

    def place(self, name: str, tensor: PickledTensor) -> StoredTensor:
        """Find the bytes of a tensor, and check that its storage holds them."""
        where, storage = self._where, tensor.storage
        dtype, item = STORAGES[storage.kind]
        info = self._members.get(f"{self._folder}data/{storage.key}")
        if info is None or info.file_size != storage.count * item:
            raise CheckpointError(f"{where}: the storage of {name} is missing or has another size.", _DAMAGED)
        count = math.prod(tensor.shape)
        if count and not _is_contiguous(tensor):
            raise CheckpointError(f"{where}: {name} is not contiguous (strides {list(tensor.strides)}).", _SAFE)
        if min(tensor.offset, *tensor.shape, 0) < 0 or tensor.offset + count > storage.count:
            raise CheckpointError(f"{where}: {name} reaches beyond its storage.", _DAMAGED)
        start = 0
        if self._file is not None:
            if storage.key not in self._starts:
                self._starts[storage.key] = _start(info, self._file, where)
            start = self._starts[storage.key] + tensor.offset * item
        if start % item:
            raise CheckpointError(f"{where}: {name} is not aligned, as torch.save aligns storages.", _SAFE)
        return StoredTensor(name, dtype, tensor.shape, start, count * item)


def _is_contiguous(tensor: PickledTensor) -> bool:
    expected = 1
    for size, stride in zip(reversed(tensor.shape), reversed(tensor.strides), strict=True):
        if size != 1 and stride != expected:
            return False
        expected *= size
    return True


def _start(info: zipfile.ZipInfo, file: BinaryIO, where: str) -> int:
    """Return where a member's bytes begin: behind its local header, whose lengths differ from those of the directory."""
    file.seek(info.header_offset)
    header = file.read(30)
    if len(header) < 30 or header[:4] != b"PK\x03\x04":
        raise CheckpointError(f"{where}: {info.filename} does not begin where the directory says.", _DAMAGED)
    start = info.header_offset + 30 + int.from_bytes(header[26:28], "little") + int.from_bytes(header[28:30], "little")
    if start + info.file_size > file.seek(0, io.SEEK_END):
        raise CheckpointError(f"{where} is truncated.", _DAMAGED)
    return start


def _tensors(pickle: bytes, where: str) -> dict[str, PickledTensor]:
    """Run the program. Raises CheckpointError for anything but a dictionary of tensors."""
    try:
        table = torch_pickle.run(pickle)
    except Foreign as found:
        raise CheckpointError(
            f"{where} holds more than tensors: {found}. A pickle can run code when it is opened, so it is not.", _SAFE
        ) from None
    except (ValueError, IndexError, KeyError, TypeError, AttributeError, StopIteration) as error:
        raise CheckpointError(f"{where}: the pickle in it is damaged ({error}).", _DAMAGED) from error
    wrong = next((name for name, value in table.items() if not isinstance(value, PickledTensor)), None)
    if wrong is not None:
        raise CheckpointError(f"{where} holds more than tensors: the entry {wrong!r} is none.", _SAFE)
    return table
