"""What a file of torch.save holds, found out without torch and without running anything.

The file is a zip whose member `NAME/data.pkl` is a pickle: a program for a stack machine, which may call any function. This
reader is a machine of its own for the few instructions that a dictionary of tensors needs. It looks up no global and calls
nothing; whatever else the program asks for is refused. Values lie in members `NAME/data/KEY`, uncompressed, and can be mapped.

Sources: `torch/serialization.py` (`_save`), `torch/_utils.py` (`_rebuild_tensor_v2`), CPython's `Lib/pickletools.py`.
"""

from __future__ import annotations

import io
import math
import pickletools
import struct
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, BinaryIO

from .errors import CheckpointError

MAX_PICKLE = 64 << 20
"""Bytes; a hundred thousand tensors need a quarter of it."""
STORAGES = {
    "torch DoubleStorage": ("F64", 8), "torch FloatStorage": ("F32", 4), "torch HalfStorage": ("F16", 2),
    "torch BFloat16Storage": ("BF16", 2), "torch LongStorage": ("I64", 8), "torch IntStorage": ("I32", 4),
    "torch ShortStorage": ("I16", 2), "torch CharStorage": ("I8", 1), "torch ByteStorage": ("U8", 1),
    "torch BoolStorage": ("BOOL", 1),
}  # fmt: skip
"""Global → safetensors' name of the type, and bytes of an element."""
_REBUILD, _DICT = "torch._utils _rebuild_tensor_v2", "collections OrderedDict"
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


@dataclass(frozen=True)
class _Global:
    name: str


@dataclass(frozen=True)
class _Storage:
    kind: str
    key: str
    count: int


@dataclass(frozen=True)
class _Tensor:
    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


_MARK = object()


class _Foreign(Exception):  # noqa: N818 - what was found, not yet an error
    """Something in the pickle that a dictionary of tensors does not need."""


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

    def place(self, name: str, tensor: _Tensor) -> StoredTensor:
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


def _is_contiguous(tensor: _Tensor) -> bool:
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


def _tensors(pickle: bytes, where: str) -> dict[str, _Tensor]:
    """Run the program. Raises CheckpointError for anything but a dictionary of tensors."""
    try:
        table = _Machine().run(pickle)
    except _Foreign as found:
        raise CheckpointError(
            f"{where} holds more than tensors: {found}. A pickle can run code when it is opened, so it is not.", _SAFE
        ) from None
    except (ValueError, IndexError, KeyError, TypeError, AttributeError, StopIteration) as error:
        raise CheckpointError(f"{where}: the pickle in it is damaged ({error}).", _DAMAGED) from error
    wrong = next((name for name, value in table.items() if not isinstance(value, _Tensor)), None)
    if wrong is not None:
        raise CheckpointError(f"{where} holds more than tensors: the entry {wrong!r} is none.", _SAFE)
    return table


class _Machine:
    """The stack machine of pickle, less everything that looks up, calls or builds other things."""

    def __init__(self) -> None:
        self._stack: list[Any] = []
        self._memo: dict[int, Any] = {}

    def run(self, pickle: bytes) -> dict[str, Any]:
        for opcode, argument, _ in pickletools.genops(pickle):
            if opcode.name == "STOP":
                break
            handle = _INSTRUCTIONS.get(opcode.name)
            if handle is None:
                raise _Foreign(f"the instruction {opcode.name}")
            handle(self, argument)
        (table,) = self._stack
        if not isinstance(table, dict):
            raise _Foreign("it is not a dictionary")
        return table

    def push(self, value: Any) -> None:
        self._stack.append(value)

    def put(self, at: int | None) -> None:
        self._memo[len(self._memo) if at is None else at] = self._stack[-1]

    def get(self, at: int) -> None:
        self.push(self._memo[at])

    def look_up(self, name: str) -> None:
        if name not in (_REBUILD, _DICT, *STORAGES):
            raise _Foreign(f"the global {name.replace(' ', '.')}")
        self.push(_Global(name))

    def stack_global(self, _: Any) -> None:
        module, name = self.pop(2)
        if not isinstance(module, str) or not isinstance(name, str):
            raise ValueError("a global without a name")  # noqa: TRY004 - damaged data, not a wrong call
        self.look_up(f"{module} {name}")

    def pop(self, count: int) -> list[Any]:
        if len(self._stack) < count or _MARK in self._stack[len(self._stack) - count :]:
            raise ValueError("the stack is empty")
        taken = self._stack[len(self._stack) - count :]
        del self._stack[len(self._stack) - count :]
        return taken

    def pop_mark(self) -> list[Any]:
        at = next(i for i in range(len(self._stack) - 1, -1, -1) if self._stack[i] is _MARK)
        taken = self._stack[at + 1 :]
        del self._stack[at:]
        return taken

    def set_items(self, pairs: list[Any]) -> None:
        table = self._stack[-1]
        if not isinstance(table, dict) or not all(isinstance(key, str) for key in pairs[::2]):
            raise _Foreign("something else than names and values")
        table.update(zip(pairs[::2], pairs[1::2], strict=True))

    def persistent(self, _: Any) -> None:
        (identity,) = self.pop(1)
        kind, storage, key, _location, count = identity
        if kind != "storage" or not isinstance(storage, _Global) or storage.name not in STORAGES:
            raise _Foreign("a reference to something that is not a storage of numbers")
        if not isinstance(key, str) or type(count) is not int or count < 0:
            raise ValueError("a reference that is none to a storage")
        self.push(_Storage(storage.name, key, count))

    def reduce(self, _: Any) -> None:
        called, arguments = self.pop(2)
        if called == _Global(_DICT) and arguments == ():
            self.push({})
        elif called == _Global(_REBUILD):
            storage, offset, shape, strides = arguments[:4]
            numbers = (offset, *shape, *strides)
            if not isinstance(storage, _Storage) or not all(type(number) is int for number in numbers):
                raise ValueError("a tensor without a storage")
            if len(shape) != len(strides):
                raise ValueError("a tensor with more sizes than strides")
            self.push(_Tensor(storage, offset, tuple(shape), tuple(strides)))
        else:
            raise _Foreign("a call that makes no tensor")

    def build(self, _: Any) -> None:
        """`_metadata` of a state dictionary; nothing here needs it."""
        table, state = self.pop(2)
        if not isinstance(table, dict) or not isinstance(state, dict) or set(state) - {"_metadata"}:
            raise _Foreign("the state of an object")
        self.push(table)


_PUSHED = (
    "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8", "BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT",
)  # fmt: skip
_INSTRUCTIONS: dict[str, Callable[[_Machine, Any], None]] = {
    "PROTO": lambda machine, _: None,
    "FRAME": lambda machine, _: None,
    "MARK": lambda machine, _: machine.push(_MARK),
    "NONE": lambda machine, _: machine.push(None),
    "NEWTRUE": lambda machine, _: machine.push(True),
    "NEWFALSE": lambda machine, _: machine.push(False),
    "EMPTY_DICT": lambda machine, _: machine.push({}),
    "EMPTY_TUPLE": lambda machine, _: machine.push(()),
    "TUPLE": lambda machine, _: machine.push(tuple(machine.pop_mark())),
    "TUPLE1": lambda machine, _: machine.push(tuple(machine.pop(1))),
    "TUPLE2": lambda machine, _: machine.push(tuple(machine.pop(2))),
    "TUPLE3": lambda machine, _: machine.push(tuple(machine.pop(3))),
    "SETITEM": lambda machine, _: machine.set_items(machine.pop(2)),
    "SETITEMS": lambda machine, _: machine.set_items(machine.pop_mark()),
    "BINPUT": _Machine.put,
    "LONG_BINPUT": _Machine.put,
    "MEMOIZE": _Machine.put,
    "BINGET": _Machine.get,
    "LONG_BINGET": _Machine.get,
    "GLOBAL": _Machine.look_up,
    "STACK_GLOBAL": _Machine.stack_global,
    "BINPERSID": _Machine.persistent,
    "REDUCE": _Machine.reduce,
    "BUILD": _Machine.build,
    **dict.fromkeys(_PUSHED, _Machine.push),
}
